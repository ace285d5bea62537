"""What comes in is checked once: a loaded dataset is what `zoo.data.Dataset` says, or is refused by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo.data.class_names import check_classes
from zoo.data.types import Dataset, Split
from zoo.errors import DataError
from zoo.registry.loading import a_thing

_SPLITS = ("train", "val", "test")


def checked(dataset: Any, name: str) -> Dataset:
    """The dataset, with int64 labels.

    Args:
        dataset: what a loader returned.
        name: of the dataset, for messages.

    Raises:
        DataError: it breaks a rule of `zoo.data.Dataset`.
    """
    owner = f"The dataset '{name}'"
    if not isinstance(dataset, Dataset):
        raise _fault(owner, f"is {described(dataset)}, not a zoo.Dataset", "Return one from its loader.", "no-dataset")
    if not isinstance(dataset.classes, tuple):
        raise _fault(owner, f"has classes={described(dataset.classes)}", "Give a tuple of names.", "classes-type")
    check_classes(dataset.classes, f"the dataset '{name}'")
    train, val, test = (_split(getattr(dataset, each), owner, each, len(dataset.classes)) for each in _SPLITS)
    if train is None or not len(train):
        raise _fault(owner, "has no training pictures", "Give it some.", "no-training-pictures")
    return replace(dataset, train=train, val=val, test=test)


def _split(split: Any, owner: str, name: str, num_classes: int) -> Split | None:
    if split is None:
        return None
    owner = f"{owner}, split {name},"
    if not isinstance(split, Split):
        raise _fault(owner, f"is {described(split)}, not a zoo.data.Split", "Return one from its loader.", "no-split")
    if not callable(getattr(split.pictures, "source", None)):
        remedy = "Give ArrayPictures, FilePictures, or what zoo.data.as_pictures returns."
        raise _fault(owner, f"has pictures={described(split.pictures)}", remedy, "pictures-type")
    if split.pictures.array is not None:
        check_array(split.pictures.array, owner)
    labels = as_labels(split.labels, len(split.pictures), owner)
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        found = f"has labels from {labels.min()} to {labels.max()} for {num_classes} classes"
        raise _fault(owner, found, f"Labels count from 0 to {num_classes - 1}.", "labels-range")
    return replace(split, labels=labels)


def as_labels(labels: Any, count: int, owner: str) -> np.ndarray:
    """Labels as int64 `[N]`. Raises `DataError` unless they are whole numbers, one for each of `count` pictures."""
    found = np.asarray(labels)
    remedy = "Give one whole number for each picture, counted from 0."
    if found.ndim == 2 and found.shape[1] > 1:  # noqa: PLR2004
        remedy = "Give one number for each picture: one-hot rows become numbers with labels.argmax(1)."
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _fault(owner, f"has labels={described(labels)}", remedy, "labels-type")
    if len(found) != count:
        raise _fault(owner, f"has {len(found):,} labels for {count:,} pictures", "Give one for each.", "labels-count")
    return found.astype(np.int64)


def check_array(array: Any, owner: str) -> None:
    """Raises `DataError` unless it is uint8 `[N, H, W]` or `[N, H, W, 3]`."""
    grey = getattr(array, "ndim", 0) == 3 and array.shape[2] not in (3, 4)  # noqa: PLR2004
    fits = isinstance(array, np.ndarray) and (grey or (array.ndim == 4 and array.shape[3] == 3))  # noqa: PLR2004
    if fits and array.dtype == np.uint8 and 0 not in array.shape[1:]:
        return
    raise _fault(owner, f"has pictures={described(array)}", array_remedy(array), "pictures-array")


def array_remedy(array: Any) -> str:
    """What to do with pixels in another form than uint8 `[N, H, W]` or `[N, H, W, 3]`."""
    shape: Sequence[int] = getattr(array, "shape", ())
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if len(shape) == 3 and shape[2] in (3, 4):  # noqa: PLR2004
        return "One picture goes into a list: [picture]."
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):  # noqa: PLR2004
        return "Put the channels last: pictures.transpose(0, 2, 3, 1)."
    if kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        return 'Give uint8: (pictures * 255).round().astype("uint8").'
    if kind == "f":
        return "Give the pixels before normalisation, as uint8: the network's own mean and std are applied later."
    return "Give uint8 of shape [N, H, W] or [N, H, W, 3]."


def described(value: Any) -> str:
    """What a value is, in a few words."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"an array of shape {list(shape)} and type {str(dtype).removeprefix('torch.')}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)[:80]
    length = f" of length {len(value)}" if isinstance(value, list | tuple | dict) else ""
    return f"{a_thing(value)}{length}"


def _fault(owner: str, what: str, remedy: str, code: str) -> DataError:
    return DataError(f"{owner} {what}.", remedy, code=code)
