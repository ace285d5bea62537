"""`zoo plugins new`: its packages are clean and keep all rules, and one change breaks the rule that is meant."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import sysconfig
import tomllib
import warnings
from functools import partial
from pathlib import Path

import pytest
from _pytest.config import parse_warning_filter
from typer.testing import CliRunner

from zoo.cli import app
from zoo.cli.plugin_new import PARTS, write_package
from zoo.registry import registry
from zoo.specs import INTERFACE
from zoo.testing import loggers
from zoo.testing.checks import plugin_results

from ..refusals import refused
from .test_cli_plugins import with_site

FILES = {".github/workflows/test.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml"}


def zoo(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plugins", "new", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def option(part: str) -> str:
    return f"--{part.replace('_', '-')}"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "parts",
    [(), *itertools.combinations(PARTS, 1), tuple(PARTS), ("dataset", "command"), ("backbone", "provider")],
    ids=str,
)
def test_a_package_is_complete_and_clean(tmp_path, monkeypatch, parts):
    monkeypatch.chdir(tmp_path)
    assert "pip install -e 'My-Zoo.two[dev]'" in zoo("My-Zoo.two", *map(option, parts))
    folder = tmp_path / "My-Zoo.two"
    parts = parts or ("backbone", "dataset")
    own = ("__init__.py", "py.typed") if parts == ("run_hook",) else ("__init__.py", "plugin.py", "py.typed")
    modules = {f"src/my_zoo_two/{name}" for name in own}
    code = {file for part in parts for file in (f"src/my_zoo_two/{part}.py", f"tests/test_{part}.py")}
    assert files(folder) == FILES | modules | code
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["", "-a", "a b", "9a", "a/b", "../a", "a--b", "class", "ä"])
def test_a_name_that_no_package_can_have(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with refused("package-name", f"'{name}'"):
        zoo("--", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["torch", "zoo", "json", "zoo-torchvision"])
def test_the_name_of_another_package(tmp_path, name):
    with refused("package-name", "There already is"):
        write_package(tmp_path, name, ["logger"])


def test_a_folder_that_exists_stays_as_it_is(tmp_path):
    (tmp_path / "my-zoo").mkdir()
    with refused("folder-exists", "my-zoo"):
        write_package(tmp_path, "my-zoo", ["logger"])
    assert files(tmp_path) == set()


def test_its_tests_may_export_torchscript_and_its_own_warnings_stay_errors(tmp_path):
    import torch

    settings = tomllib.loads((write_package(tmp_path, "my-zoo", ["backbone"]) / "pyproject.toml").read_text())
    with warnings.catch_warnings():
        warnings.resetwarnings()
        for each in settings["tool"]["pytest"]["ini_options"]["filterwarnings"]:
            warnings.filterwarnings(*parse_warning_filter(each, escape=False))
        traced = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
        torch.jit.save(traced, io.BytesIO())
        for kind in (FutureWarning, DeprecationWarning):
            with pytest.raises(kind):
                warnings.warn("`torch.jit.mine` is deprecated.", kind, stacklevel=1)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A function that installs a new package with one part, after changes, and returns its name."""
    before = set(sys.modules)

    def install(part: str, file: str, old: str, new: str) -> str:
        name = f"made-{abs(hash(tmp_path))}"
        folder = write_package(tmp_path, name, [part])
        module = name.replace("-", "_")
        source = folder / "src" / module / file
        text = source.read_text()
        assert old in text
        source.write_text(text.replace(old, new))
        metadata = folder / "src" / f"{module}-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
        sections = [f"[{group}]\n{key} = {value}\n" for group, each in declared.items() for key, value in each.items()]
        (metadata / "entry_points.txt").write_text("".join(sections))
        with_site(monkeypatch, folder / "src")
        return name

    yield install
    registry.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("made_"):
            del sys.modules[name]


TOP = "from __future__ import annotations\n"
PICTURES = "ArrayPictures(pictures)"
SIGINT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
WAIT = '__import__("threading").Event().wait()'
BROKEN = {
    "a wrong head": ("backbone", "backbone.py", 'head="head"', 'head="body"', "builds"),
    "a parameter in no stage": ("backbone", "backbone.py", 'Stage("stem", ("stem",)), ', "", "builds"),
    "labels out of range": ("dataset", "dataset.py", "(count) % 2", "(count) % 3", "loads"),
    "floats for pictures": ("dataset", "dataset.py", PICTURES, "ArrayPictures(pictures / 255)", "loads"),
    "channels first": ("dataset", "dataset.py", PICTURES, "ArrayPictures(pictures.transpose(0, 3, 1, 2))", "loads"),
    "a card that changes the hash": ("exporter", "exporter.py", "if name != CARD", "if name", "keeps-hash"),
    "a runtime that is off by 1e-3": ("exporter", "exporter.py", "logits.numpy()", "logits.numpy() * 1.001", "agrees"),
    "a logger that hangs": ("logger", "logger.py", "self._file.flush()", WAIT, "takes-rows"),
    "a slow import": ("logger", "plugin.py", TOP, f"{TOP}import time; time.sleep(1.05)\n", "light"),
    "a handler of SIGINT": ("logger", "plugin.py", TOP, f"{TOP}{SIGINT}", "keeps-process"),
    "an interface of the future": ("logger", "plugin.py", f'"{INTERFACE}"', '"99.0"', "interface"),
    "a built-in's name": ("logger", "logger.py", "LoggerSpec(name=", 'LoggerSpec(name="csv" or ', "names"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package_has_its_rule_named(case, site, monkeypatch):
    part, file, old, new, rule = BROKEN[case]
    monkeypatch.setattr(loggers, "report_logger", partial(loggers.report_logger, seconds=0.5))
    results = list(plugin_results(site(part, file, old, new), formats=()))
    broken = [result for result in results if result.state == "broken"]
    assert broken[0].rule == rule, broken
    assert broken[0].cause
    assert broken[0].remedy


@pytest.mark.parametrize("part", ["backbone", "provider", "dataset", "logger", "run_hook"])
def test_an_unchanged_package_keeps_the_rules(part, site):
    results = list(plugin_results(site(part, f"{part}.py", TOP, TOP), formats=()))
    assert len(results) > 10 or part == "run_hook"
    assert "loads" in [result.rule for result in results if result.state == "kept"]
    assert [result for result in results if result.state == "broken"] == []


@pytest.mark.slow  # three minutes
def test_in_a_fresh_environment(tmp_path):
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    here = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # It sees what is installed here, and nothing is installed here.
    (Path(here.stdout.strip()) / "here.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}

    def run(*arguments: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [python, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("zoo", "plugins", "new", "my-zoo", *map(option, PARTS))
    run("pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "-e", "my-zoo")
    assert "0 broken" in run("zoo", "plugins", "check", "my-zoo", "--formats", "onnx,my_zoo_zip")
    run("pytest", "-q", "my-zoo")
    run("mypy", folder=tmp_path / "my-zoo")
    assert run("zoo", "my-zoo", "Ada") == "hello Ada\n"
    assert "From the plugin my-zoo." in run("zoo", "--help")
