"""A file made with a plugin's backbone is used where the plugin is not installed, and ONNX where torch is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.artifacts.predictor import load
from zoo.exporting.pipeline import export

from ..conftest import draw

BLOCKS = """
import sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


sys.meta_path.insert(0, NoTorch())
"""
USES = """
import importlib.util, json, sys
from zoo.cli import main

assert importlib.util.find_spec("zoo_tiny") is None
sys.argv = ["zoo", "predict", sys.argv[1], sys.argv[2], "--json"]
try:
    main()
finally:
    print(json.dumps(["zoo_tiny" in sys.modules, "torch" in sys.modules]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    import numpy as np
    from PIL import Image

    path = tmp_path_factory.mktemp("picture") / "bar.png"
    Image.fromarray(draw(0, np.random.default_rng(1))).save(path)
    return path


def away(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without the plugin."""
    places = [each for each in os.environ["PYTHONPATH"].split(os.pathsep) if not (Path(each) / "zoo_tiny.py").exists()]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "ZOO_PLUGIN_FILES": "", "HOME": str(tmp_path)}


@pytest.mark.parametrize(("name", "blocked"), [("onnx", True), ("torchscript", False), ("pt2", False)])
def test_a_file_is_used_without_the_plugin_of_its_backbone(trained, place, picture, name, blocked):
    path = export(trained, name, place / "model").path
    assert load(path).card.backbone_plugin.distribution == "zoo-tiny"
    (here,) = load(path).predict([picture])
    code = BLOCKS * blocked + USES
    done = subprocess.run(
        [sys.executable, "-c", code, path, picture],
        env=away(place),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (there,) = json.loads(done.stdout)
    assert there["label"] == here.label
    assert json.loads(done.stderr.splitlines()[-1]) == [False, not blocked]


def test_a_file_is_used_without_the_plugin_file_of_its_backbone(bars, tmp_path, picture):
    """The plugin file is gone, and a module of its name that is found would end the process."""
    from ..plugin_files import write_plugin

    plugin = write_plugin(tmp_path / "plugin")
    options = {"epochs": 1, "image_size": 16, "batch_size": 16, "augment": "none", "device": "cpu"}
    run = zoo.train("mine", bars, output=tmp_path / "run", plugins=(str(plugin),), **options)
    path = export(run, "onnx", tmp_path / "model").path
    plugin.write_text("raise SystemExit(9)")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS + USES, path, picture],
        env=away(tmp_path),
        cwd=plugin.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
