"""A plugin in one file, for tests."""

from __future__ import annotations

from pathlib import Path

SOURCE = """
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Stage


def build(num_classes):
    from torch import nn

    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        nn.Linear(32, num_classes),
    )


@hookimpl
def zoo_backbones():
    stages = (Stage("body", ("0",)), Stage("head", ("1",)))
    yield BackboneSpec(name="mine", build=build, head="1", stages=lambda _: stages, min_image_size=8)
"""


def write_plugin(folder: Path, source: str = SOURCE, name: str = "my_zoo.py") -> Path:
    """A plugin file in a folder."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / name).write_text(source)
    return folder / name
