"""A small third-party plugin, installed for the whole session: backbones that train in a blink."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from functools import cached_property, partial
from pathlib import Path

# Threads of tiny networks wait for each other longer than they compute: with one, a test takes two thirds
# of the processor's time. With more, waiting in a loop took five minutes of one test on a busy machine. Both are read
# when numpy and torch are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest

from zoo.testing.fixtures import draw, write_folder  # noqa: F401  (tests take them from here)

# Trainings and exports make millions of objects that live for a while. With the usual 700, the collector takes a tenth
# of the processor's time.
gc.set_threshold(50_000, 10, 10)

PLUGIN = """
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Stage


def build(num_classes):
    from torch import nn

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        nn.Linear(64, num_classes),
    )


@hookimpl
def zoo_backbones():
    stages = (Stage("stem", ("0",)), Stage("body", ("1",)), Stage("head", ("2",)))
    yield BackboneSpec(name="tiny", build=build, head="2", stages=lambda _: stages, min_image_size=8)
"""


@pytest.fixture(scope="session", autouse=True)
def tiny_plugin(tmp_path_factory):
    """Makes the backbone `tiny` known to this process and to those that it starts."""
    from zoo.registry import registry

    site = tmp_path_factory.mktemp("site")
    (site / "zoo_tiny.py").write_text(PLUGIN)
    metadata = site / "zoo_tiny-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-tiny\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[zoo]\ntiny = zoo_tiny\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        # Fixtures of a session or a module begin before `own_cache`.
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")])))
        registry.cache_clear()
        yield
    registry.cache_clear()
    sys.modules.pop("zoo_tiny", None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache or configuration, or reaches for the network through torch hub."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(autouse=True)
def own_names():
    """What a test registers does not stay, in this process or for those that it starts."""
    from zoo.registry import registry

    before = vars(registry()).copy()
    yield
    vars(registry()).update(before)
    os.environ.pop("ZOO_PLUGIN_FILES", None)


@pytest.fixture(autouse=True)
def parsed_once():
    """Each export to ONNX would parse 497 functions of onnxscript anew: a quarter of its time."""
    kind = getattr(sys.modules.get("onnxscript.values"), "TracedOnnxFunction", None)
    if kind and isinstance(kind.function_ir, property):
        kind.function_ir = cached_property(kind.function_ir.fget)
        kind.function_ir.__set_name__(kind, "function_ir")


@pytest.fixture(scope="session")
def bars(tmp_path_factory) -> Path:
    """A folder of pictures that any network learns in seconds: 3 classes, 40 train, 6 val and 6 test each."""
    return write_folder(tmp_path_factory.mktemp("data") / "bars", {"train": 40, "val": 6, "test": 6})


@pytest.fixture(scope="session")
def trained(bars, tmp_path_factory, tiny_plugin):
    """A finished run of `tiny` on `bars`. Tests may add files to its folder, not change those that are there."""
    from zoo.training.api import train

    return train(
        "tiny",
        str(bars),
        output=tmp_path_factory.mktemp("runs") / "bars",
        epochs=6,
        image_size=24,
        batch_size=16,
        augment="none",
        learning_rate=0.01,
    )


@pytest.fixture(scope="session")
def model(trained, tmp_path_factory) -> Path:
    """`trained` as an ONNX file, alone in its folder. No test changes it."""
    from zoo.exporting.pipeline import export

    return export(trained, "onnx", tmp_path_factory.mktemp("model") / "model.onnx").path


@pytest.fixture
def artifacts_here():
    """`here.artifacts_here`."""
    from .here import artifacts_here

    with artifacts_here():
        yield


@pytest.fixture(scope="module")
def narrow_networks():
    """`networks.narrow`."""
    from .networks import narrow

    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        yield


@pytest.fixture
def no_plots(monkeypatch):
    """Trainings draw nothing."""
    from .watch import undrawn

    undrawn(monkeypatch)


@pytest.fixture
def learn(bars, tmp_path):
    """`watch.train` on `bars`."""
    from .watch import train

    return partial(train, bars, tmp_path)


@pytest.fixture
def phases(monkeypatch):
    """The phases of the trainings that follow."""
    from .watch import watch

    return watch(monkeypatch)


@pytest.fixture
def place(tmp_path) -> Path:
    """An empty folder for exports."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A function that makes a folder with room for so many KiB."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(kibibytes: int) -> Path:
        options = ["-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        if not mount or subprocess.run([mount, *options], capture_output=True, check=False).returncode:
            pytest.skip("a small disk can be mounted by root only")
        return folder

    yield make
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
