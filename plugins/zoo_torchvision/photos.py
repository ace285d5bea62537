"""Datasets of picture files. torchvision finds paths and labels, and `zoo.images` decodes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data import Dataset, FilePictures, Split
from zoo_torchvision import names
from zoo_torchvision.fetch import torchvision_class
from zoo_torchvision.readers import damaged, verify

Pairs = Sequence[tuple[Path | str, int]]


def food101(root: Path) -> Dataset:
    return _loaded(root, "Food101", "train", None, "test")


def flowers102(root: Path) -> Dataset:
    files = torchvision_class("Flowers102")._file_dict
    verify(root / "flowers-102", [files["label"], files["setid"]])
    return _loaded(root, "Flowers102", "train", "val", "test")


def dtd(root: Path) -> Dataset:
    return _loaded(root, "DTD", "train", "val", "test")


def fgvc_aircraft(root: Path) -> Dataset:
    return _loaded(root, "FGVCAircraft", "train", "val", "test")


def country211(root: Path) -> Dataset:
    return _loaded(root, "Country211", "train", "valid", "test")


def eurosat(root: Path) -> Dataset:
    loaded = torchvision_class("EuroSAT")(root, loader=_as_path)
    classes = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in loaded.classes]
    return _dataset(root, classes, loaded.samples)


def oxford_pets(root: Path) -> Dataset:
    dataset = torchvision_class("OxfordIIITPet")
    parts = [dataset(root, split=split) for split in ("trainval", "test")]
    # The class has no parameter `loader`, and only its private attributes list its files.
    train, test = (list(zip(part._images, part._labels, strict=True)) for part in parts)
    return _dataset(root, parts[0].classes, train, None, test)


def gtsrb(root: Path) -> Dataset:
    dataset = torchvision_class("GTSRB")
    train, test = (dataset(root, split=split)._samples for split in ("train", "test"))
    return _dataset(root, names.GTSRB, train, None, test)


def caltech101(root: Path) -> Dataset:
    loaded = torchvision_class("Caltech101")(root)
    folder = Path(loaded.root, "101_ObjectCategories")
    files = [
        folder / loaded.categories[label] / f"image_{number:04d}.jpg"
        for label, number in zip(loaded.y, loaded.index, strict=True)
    ]
    return _dataset(root, loaded.categories, list(zip(files, loaded.y, strict=True)))


def _as_path(path: Path | str) -> Path:
    """Replaces torchvision's decoder, through its public parameter `loader`."""
    return Path(path)


def _loaded(root: Path, class_name: str, train: str, val: str | None, test: str) -> Dataset:
    dataset = torchvision_class(class_name)
    parts = [dataset(root, split=split, loader=_as_path) for split in (train, val, test) if split]
    # Some classes number the labels of a split by the classes in that split.
    index = {name: i for i, name in enumerate(parts[0].classes)}
    pairs = [[(path, index[part.classes[label]]) for path, label in _items(part)] for part in parts]
    return _dataset(root, parts[0].classes, pairs[0], pairs[1] if val else None, pairs[-1])


def _items(part: Any) -> Iterable[tuple[Path, int]]:
    return (part[i] for i in range(len(part)))


def _dataset(
    root: Path, classes: Sequence[str], train: Pairs, val: Pairs | None = None, test: Pairs | None = None
) -> Dataset:
    readable = tuple(name.replace("_", " ").replace("?", "").strip() for name in classes)
    splits = [_split(root, part, len(readable)) if part is not None else None for part in (train, val, test)]
    assert splits[0] is not None
    return Dataset(classes=readable, train=splits[0], val=splits[1], test=splits[2], source=str(root))


def _split(root: Path, pairs: Pairs, num_classes: int) -> Split:
    labels = np.array([label for _, label in pairs], dtype=np.int64)
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise damaged(root, f"its lists have no labels, or labels outside 0 to {num_classes - 1}")
    return Split(FilePictures([Path(path) for path, _ in pairs]), labels)
