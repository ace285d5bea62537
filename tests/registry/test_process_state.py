"""What a plugin does to the whole process when it loads: undone, or named."""

import importlib.metadata
import signal

import pytest
from PIL import Image, ImageFile

from zoo.registry import Registry, core

BODY = """
import signal, time
from PIL import Image, ImageFile
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: None)
ImageFile.LOAD_TRUNCATED_IMAGES = True
Image.MAX_IMAGE_PIXELS = None
time.sleep({seconds})


@hookimpl
def zoo_backbones():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    yield BackboneSpec(name="rude", build=print, head="fc", stages=print)
"""


@pytest.fixture
def rude(tmp_path, monkeypatch):
    """The registry of a plugin that changes what belongs to everybody."""

    def make(seconds: float = 0) -> Registry:
        module = f"rude_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(BODY.format(seconds=seconds))
        metadata = tmp_path / "rude-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rude\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[zoo]\nrude = {module}\n")
        monkeypatch.syspath_prepend(tmp_path)
        found = importlib.metadata.distributions(path=[str(tmp_path)])
        return Registry(entry for each in found for entry in each.entry_points)

    return make


def test_signal_handlers_and_pillows_settings_stay(rude):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    pillow = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    host = rude()
    assert host.backbone("rude").name == "rude"
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert pillow == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert host.problems == []


def test_a_plugin_that_is_slow_to_import_is_named_and_works(rude, monkeypatch):
    monkeypatch.setattr(core, "SLOW_SECONDS", 0.1)
    host = rude(seconds=0.2)
    assert host.backbone("rude").name == "rude"
    (problem,) = host.problems
    assert problem.plugin.distribution == "rude"
    assert " s, and every command that needs it waits" in problem.cause
    assert "pip uninstall rude" in problem.remedy
    assert host.plugins()[0].state == "loaded"
