"""The wheel that users install."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = {"zoo", "zoo_torchvision", "zoo_exporters", "zoo_demo"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("visionzoo-*.whl"))


def test_it_exposes_four_names_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
    tops = {name.split("/")[0] for name in files}
    assert {name for name in tops if not name.endswith(".dist-info")} == NAMES
    for name in NAMES:
        assert f"{name}/py.typed" in files


def test_it_holds_what_the_packages_hold(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.split("/")[0] in NAMES}
    homes = {"zoo": "", "zoo_torchvision": "plugins", "zoo_exporters": "exporters", "zoo_demo": "demo"}
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
    light = extras["dependencies"] + extras["optional-dependencies"]["onnx"] + extras["optional-dependencies"]["demo"]
    assert not [line for line in light if "torch" in line]


# Nothing of this process's settings, PYTHONPATH above all.
ENVIRONMENT = {"PATH": os.environ["PATH"]}
SERVE = """
import sys, zoo
predictor = zoo.load(sys.argv[1])
print(predictor.predict([sys.argv[2]])[0].label)
import zoo_demo.app
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
