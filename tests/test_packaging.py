"""The wheel that users install, and the workflows that test and publish it."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
NAMES = {"zoo", "zoo_torchvision", "zoo_exporters", "zoo_demo", "zoo_serve"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("visionzoo-*.whl"))


def test_it_exposes_five_names_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    tops = {name.split("/")[0] for name in files}
    assert {name for name in tops if not name.endswith(".dist-info")} == NAMES
    for name in NAMES:
        assert f"{name}/py.typed" in files


def test_it_holds_what_the_packages_hold(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.split("/")[0] in NAMES}
    homes = {"zoo": "", "zoo_torchvision": "plugins", "zoo_exporters": "exporters"}
    homes |= {"zoo_demo": "demo", "zoo_serve": "demo"}
    for name, home in homes.items():
        base = ROOT / home
        for path in (base / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(base).as_posix() in inside


def test_the_sample_is_small():
    data = ROOT / "plugins" / "zoo_torchvision" / "data"
    assert 0 < sum(path.stat().st_size for path in data.iterdir()) < 1_500_000


def test_no_extra_for_serving_asks_for_torch():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = extras["optional-dependencies"]
    light = extras["dependencies"] + optional["onnx"] + optional["demo"] + optional["serve"]
    assert not [line for line in light if "torch" in line]
    assert not [line for line in optional["serve"] if "gradio" in line or "fastapi" in line]


def test_the_lower_bounds_are_those_that_make_test_lowest_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["onnx"], *extras["train"], *extras["demo"], *extras["serve"]]
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").replace("_", "-").split()
    pinned = dict(line.split("==") for line in lines)
    for line in wanted:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups()
        assert re.sub(r"(\.0)+$", "", pinned[name]) == re.sub(r"(\.0)+$", "", bound), name


def workflow(name):
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))


def test_the_workflow_tests_the_pythons_that_the_package_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    jobs = workflow("ci")["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert matrix["python"] == named
    assert project["requires-python"] == f">={named[0]}"
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert jobs["test"]["needs"] == "build"


def test_a_release_needs_every_check_and_no_password():
    jobs = workflow("release")["jobs"]
    publish = jobs.pop("publish")
    assert set(publish["needs"]) == set(jobs)
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi"
    assert "secrets." not in str(publish)
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"


@pytest.mark.parametrize("name", ["ci", "release"])
def test_a_workflow_takes_no_more_than_it_needs(name):
    content = workflow(name)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert "uses" in job or job["timeout-minutes"] <= 90
        for step in job.get("steps", []):
            assert "uses" not in step or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_installs_for_each_goal_what_it_needs(tmp_path):
    names = ("visionzoo-efficientnet-lite", "visionzoo-timm", "visionzoo-web")
    plugins = [Path("plugins", name, "pyproject.toml") for name in names]
    for name in ("Makefile", "pyproject.toml", "constraints.txt", *plugins):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    def installs(goal):
        command = ["make", "--dry-run", "--no-print-directory", goal]
        said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        return re.findall(r"--editable '\.\[([\w,-]+)\]'", said)

    assert installs("train") == ["onnx,train"]
    assert installs("demo") == ["onnx,train", "all"]
    assert installs("test") == installs("lint") == ["dev"]
    assert installs("release-check") == ["dev", "release"]


@pytest.mark.parametrize(
    ("changelog", "tag", "wrong"),
    [
        ("## Unreleased\n\n- News.\n", None, None),
        ("## 1.2.3\n\n- News.\n\n## 1.2.2\n\n- Old.\n", "v1.2.3", None),
        ("## Unreleased\n\n- News.\n", "v1.2.3", "no section '## 1.2.3'"),
        ("## 1.2.3\n\n## 1.2.2\n\n- Old.\n", "v1.2.3", "or an empty one"),
        ("## 1.2.2\n\n- Old.\n", None, "no section '## 1.2.3 or Unreleased'"),
        ("## 1.2.4\n\n- News.\n", "v1.2.4", "tag v1.2.4 is not that of version 1.2.3"),
    ],
)
def test_a_release_needs_its_section_of_the_changelog(tmp_path, monkeypatch, changelog, tag, wrong):
    spec = importlib.util.spec_from_file_location("release_check", ROOT / ".ci" / "release_check.py")
    release_check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release_check)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "_version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog}")
    if wrong is None:
        assert release_check.check_changelog(tag) == "1.2.3"
    else:
        with pytest.raises(release_check.CheckError, match=re.escape(wrong)):
            release_check.check_changelog(tag)


# Nothing of this process's settings, PYTHONPATH above all.
ENVIRONMENT = {"PATH": os.environ["PATH"]}
SERVE = """
import sys, zoo
predictor = zoo.load(sys.argv[1])
print(predictor.predict([sys.argv[2]])[0].label)
import zoo_demo.page
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_an_install_to_serve_has_no_torch(wheel, trained, bars, tmp_path):
    import zoo

    artifact = zoo.export(trained, "onnx", tmp_path / "model.onnx").path
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    subprocess.run([python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[onnx,demo]"], check=True)
    listed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout
    assert "torch" not in listed.replace("zoo_torchvision", "")
    picture = next((bars / "test" / "line").iterdir())
    done = subprocess.run(
        [python, "-c", SERVE, artifact, picture], check=True, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.stdout.strip() == "line"
    said = subprocess.run(
        [python, "-m", "zoo", "predict", artifact, picture], check=True, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert "line" in said.stdout
