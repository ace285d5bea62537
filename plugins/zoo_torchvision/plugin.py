"""The built-in backbones and datasets, from torchvision."""

from __future__ import annotations

from collections.abc import Iterable

from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, DatasetSpec


@hookimpl
def zoo_backbones() -> Iterable[BackboneSpec]:
    from zoo_torchvision import backbones

    return backbones.specs()


@hookimpl
def zoo_datasets() -> Iterable[DatasetSpec]:
    from zoo_torchvision import datasets

    return datasets.specs()
