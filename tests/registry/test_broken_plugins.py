"""A plugin that breaks the contract: zoo starts, and names the plugin, the cause and the way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from zoo.registry import configuration
from zoo.registry.discovery import discover
from zoo.registry.validation import spec_fault
from zoo.specs import BackboneSpec

from ..refusals import refused

FINE = """
@hookimpl
def zoo_backbones():
    yield backbone("fine_tiny")
"""
HEADER = """
from pathlib import Path
Path(__file__).with_suffix(".imported").touch()
from zoo.hookspecs import hookimpl
from zoo.specs import *

def backbone(name, **fields):
    return BackboneSpec(**{"name": name, "build": print, "head": "fc", "stages": print} | fields)

def exporter(name, suffix):
    f = print
    return ExporterSpec(name=name, suffix=suffix, write=f, write_card=f, read_card=f, content_hash=f, load=f)
"""


def hook(name: str, body: str, argument: str = "") -> str:
    return f"@hookimpl\ndef {name}({argument}):\n    {body}\n"


def backbones(*specs: str) -> str:
    return hook("zoo_backbones", f"return [{', '.join(specs)}]")


BROKEN = {
    "missing-import": (
        "import no_such_module_anywhere",
        "raised ModuleNotFoundError: No module named 'no_such",
    ),
    "exits": ("raise SystemExit('bye')", "raised SystemExit: bye."),
    "ends-process": ("import os; os._exit(0)", "called os._exit(0), which would end zoo."),
    "hook-aborts": (hook("zoo_datasets", "import os; os.abort()"), "Its hook zoo_datasets called os.abort()"),
    "own-exception": ("class E(BaseException): pass\nraise E", "raised E."),
    "syntax": ("def (", "raised SyntaxError: invalid syntax"),
    "hook-raises": (
        hook("zoo_datasets", "1 / 0"),
        "Its hook zoo_datasets raised ZeroDivisionError: division by",
    ),
    "generator-raises": (
        hook("zoo_backbones", "yield backbone('g'); exit('no')"),
        "zoo_backbones raised SystemExit",
    ),
    "returns-none": (
        hook("zoo_backbones", "pass"),
        "zoo_backbones returned None, not an iterable of BackboneSpec",
    ),
    "returns-one": (
        hook("zoo_backbones", "return backbone('one')"),
        "returned a BackboneSpec, not an iterable",
    ),
    "returns-text": (
        hook("zoo_datasets", "return 'mnist'"),
        "returned a str, not an iterable of DatasetSpec",
    ),
    "yields-dict": (hook("zoo_datasets", "yield {}"), "returned an item that is a dict, not a DatasetSpec"),
    "wrong-spec": (
        hook("zoo_datasets", "yield backbone('w')"),
        "returned an item that is a BackboneSpec, not a DatasetSpec",
    ),
    "misspelt": (
        hook("zoo_backbone", "return []"),
        "no hook named zoo_backbone. Did you mean zoo_backbones?",
    ),
    "unmarked": ("def zoo_datasets(): return []", "zoo_datasets is not marked with zoo.hookspecs.hookimpl"),
    "no-hooks": ("", "It implements no hook"),
    "bad-argument": (
        hook("zoo_datasets", "return []", "folder"),
        "Its hook zoo_datasets has an argument 'folder': it may have none.",
    ),
    "duplicate": (
        backbones("backbone('twice')", "backbone('twice')"),
        "It registers the backbone 'twice' twice.",
    ),
    "duplicate-suffix": (
        hook("zoo_exporters", "return [exporter('a', '.dup'), exporter('b', '.dup')]"),
        "two exporters for the suffix '.dup'",
    ),
    "empty-name": (backbones("backbone('')"), "Its BackboneSpec has the name ''"),
    "slash-name": (backbones("backbone('a/b')"), "Its BackboneSpec has the name 'a/b'"),
    "number-name": (backbones("backbone(5)"), "Its BackboneSpec has the name 5"),
    "not-callable": (backbones("backbone('n', build='torch')"), "has build='torch'. It should be callable."),
    "bad-size": (
        backbones("backbone('s', min_image_size='32')"),
        "has min_image_size='32'. It should be a valid integer.",
    ),
    "bad-weights": (
        backbones("backbone('w', weights=WeightsSpec(name='W', load=print, image_size=224, std=(1, 0, 1)))"),
        "WeightsSpec 'W' that has std[1]=0. It should be greater than 0.",
    ),
    "bad-suffix": (
        hook("zoo_exporters", "yield exporter('x', 'onnx')"),
        "has suffix='onnx'. It should match pattern",
    ),
    "bad-repr": (
        "class R:\n    def __repr__(self): 1 / 0\n" + backbones("backbone('r', description=R())"),
        "The check of its specs raised ZeroDivisionError",
    ),
    "no-interface": (
        "def __getattr__(name): raise KeyError(name)\n" + FINE,
        "Reading its ZOO_INTERFACE raised KeyError",
    ),
    "bad-prefix": (
        hook("zoo_backbones", "yield Provider(prefix='timm', names=list, get=print)"),
        "the prefix 'timm'. A prefix is a name that ends in a slash",
    ),
    "replaces-callback": (
        hook("zoo_commands", "app.callback()(lambda: None)", "app"),
        "replaced the callback of zoo",
    ),
    "bad-command": (
        hook("zoo_commands", "app.command('bad')(eval('lambda x: 0')); zoo_commands.__wrapped__", "app"),
        "Its hook zoo_commands raised AttributeError",
    ),
    "bad-signature": (
        "from typing import Annotated\nfrom typer import Argument, Option\n"
        "def run(where: Annotated[str, Argument(), Option()]): pass\n"
        + hook("zoo_commands", "app.command('bad')(run)", "app"),
        "Its hook zoo_commands raised MultipleTyperAnnotationsError",
    ),
}


def install(folder: Path, distribution: str, body: str) -> None:
    """A distribution with one plugin, named as the distribution, as pip would leave it."""
    module = f"plugin_{distribution}".replace("-", "_")
    (folder / f"{module}.py").write_text(HEADER + body)
    metadata = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[zoo]\n{distribution} = {module}\n")


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """All the broken plugins at once, and one that works."""
    folder = tmp_path_factory.mktemp("site")
    for distribution, (body, _) in BROKEN.items():
        install(folder, distribution, body)
    install(folder, "fine", FINE)
    install(folder, "strange-value", "")
    (folder / "strange_value-1.0.dist-info" / "entry_points.txt").write_text("[zoo]\nstrange-value = a b!\n")
    install(folder, "no-metadata", FINE.replace("fine_tiny", "anonymous"))
    (folder / "no_metadata-1.0.dist-info" / "METADATA").unlink()
    return folder


def run(
    folder: Path, *arguments: str, code: int = 0, program: tuple[str, ...] = ("-m", "zoo"), **variables: str
) -> subprocess.CompletedProcess[str]:
    for mark in folder.glob("*.imported"):
        mark.unlink()
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **variables}
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def statuses(broken):
    done = run(broken, "plugins", "--json")
    return {status["distribution"]: status for status in json.loads(done.stdout)}


@pytest.mark.parametrize("distribution", BROKEN)
def test_each_fault_has_its_cause(statuses, distribution):
    status = statuses[distribution]
    assert (status["state"], status["version"]) == ("failed", "1.0")
    assert not any(status["registers"].values())
    (problem,) = status["problems"]
    assert BROKEN[distribution][1] in problem["cause"]
    assert f"pip uninstall {distribution}," in problem["remedy"]
    assert f"zoo plugins disable {distribution}" in problem["remedy"]


def test_the_other_plugins_work(statuses):
    assert statuses["fine"]["state"] == "loaded"
    assert statuses["fine"]["registers"]["backbones"] == ["fine_tiny"]
    assert statuses["unknown"]["registers"]["backbones"] == ["anonymous"]


def test_an_entry_point_without_a_module(statuses):
    assert "'strange-value = a b!' does not name" in statuses["strange-value"]["problems"][0]["cause"]


@pytest.mark.parametrize("text", [b"[zoo]\nno equals sign\n", b"\xff\xfe[zoo]\nx = y\n"])
def test_a_list_of_entry_points_that_cannot_be_read(tmp_path, monkeypatch, text):
    install(tmp_path, "damaged", "")
    install(tmp_path, "fine", FINE)
    (tmp_path / "damaged-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    names = {plugin.name: plugin.entry_point for plugin in discover()}
    assert names["fine"] is not None
    # Whether the second is for zoo at all, nobody can tell
    assert names.get("damaged") is None
    assert ("damaged" in names) == text.startswith(b"[zoo]")


def test_zoo_list_works_and_names_plugin_cause_and_remedy(broken):
    done = run(broken, "list", "backbones", "--search", "fine*")
    assert "fine_tiny" in done.stdout
    for distribution, (_, cause) in BROKEN.items():
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"Plugin '{distribution}' ")]
        assert cause in line
        assert f"pip uninstall {distribution}" in line


def test_help_works_and_imports_none(broken):
    done = run(broken, "--help")
    assert "predict" in done.stdout
    assert done.stderr == ""
    assert list(broken.glob("*.imported")) == []


def test_a_disabled_plugin_is_gone_and_not_imported(broken):
    done = run(broken, "list", "backbones", ZOO_DISABLED_PLUGINS="exits,fine")
    assert "fine_tiny" not in done.stdout
    assert "Plugin 'exits'" not in done.stderr
    assert "Plugin 'syntax'" in done.stderr
    assert not (broken / "plugin_exits.imported").exists()


def test_a_plugin_that_the_user_disabled_is_gone(broken, tmp_path):
    (tmp_path / "visionzoo").mkdir()
    (tmp_path / "visionzoo" / "plugins.toml").write_text('disabled = ["exits"]')
    done = run(broken, "list", "backbones", XDG_CONFIG_HOME=str(tmp_path))
    assert "Plugin 'exits'" not in done.stderr
    assert "Plugin 'syntax'" in done.stderr
    (tmp_path / "visionzoo" / "plugins.toml").write_text("disabled = exits")
    done = run(broken, "list", "backbones", XDG_CONFIG_HOME=str(tmp_path))
    assert "Plugin 'exits'" in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "plugins.toml" in line]
    assert "cannot be read, so it is ignored" in line


def test_a_spec_may_be_of_a_class_of_the_plugin():
    @dataclass(frozen=True, kw_only=True)
    class Own(BackboneSpec):
        extra: absent.Type | None = None  # noqa: F821

    spec = Own(name="own", build=print, head="fc", stages=print)
    assert spec_fault(spec) is None
    assert "has min_image_size=0." in spec_fault(replace(spec, min_image_size=0))


def test_the_list_of_disabled_plugins_may_begin_with_a_byte_order_mark(tmp_path, monkeypatch):
    place = tmp_path / "plugins.toml"
    monkeypatch.setattr(configuration, "place", lambda: place)
    place.write_text('disabled = ["exits"]', encoding="utf-8-sig")
    assert configuration.disabled_names() == ["exits"]


def test_a_list_of_disabled_plugins_that_is_nested_deeply_is_refused(tmp_path, monkeypatch):
    place = tmp_path / "plugins.toml"
    monkeypatch.setattr(configuration, "place", lambda: place)
    place.write_text(f"disabled = {'[' * 5000}{']' * 5000}")
    with refused("damaged-configuration"):
        configuration.disabled_names()


def test_two_changes_of_that_list_at_once_lose_no_name():
    begun = threading.Event()

    def slowly(names):
        begun.set()
        time.sleep(0.3)  # the other one would end meanwhile if it did not wait
        return [*names, "one"]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(configuration.change_disabled, slowly)
        begun.wait()
        second = pool.submit(configuration.change_disabled, lambda names: [*names, "two"])
        first.result(), second.result()
    assert configuration.disabled_names() == ["one", "two"]


def test_what_plugins_print_does_not_garble_json(tmp_path):
    install(tmp_path, "chatty", "print('hello from chatty'); import os; os.write(1, b'raw words')" + FINE)
    done = run(tmp_path, "list", "backbones", "--search", "fine*", "--json")
    assert json.loads(done.stdout)["backbones"][0]["name"] == "fine_tiny"
    assert "hello from chatty" in done.stderr
    assert "raw words" in done.stderr


@pytest.mark.parametrize("arguments", [("predict", "model.onnx", "a.png"), ("info", "resnet18"), ("--version",)])
def test_built_in_work_imports_no_third_party(broken, arguments):
    script = "import sys; from zoo.cli import main; sys.argv[0] = 'zoo'\ntry: main()\nexcept SystemExit: pass"
    (broken / "model.onnx").write_bytes(b"no model")
    run(broken, *arguments, program=("-c", script))
    assert list(broken.glob("*.imported")) == []


def test_a_built_in_suffix_imports_no_third_party(broken):
    script = "from zoo.registry import registry; print(registry().exporter_for('x.onnx').distribution)"
    assert run(broken, program=("-c", script)).stdout == "visionzoo\n"
    assert list(broken.glob("*.imported")) == []


def test_help_imports_nothing_heavy():
    heavy = {"torch", "torchvision", "gradio", "onnx", "onnxruntime", "matplotlib", "numpy", "PIL", "pydantic"}
    script = f"""
import sys
from zoo.cli import main
sys.argv = ["zoo", "--help"]
try: main()
except SystemExit: pass
print("heavy:", sorted({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
