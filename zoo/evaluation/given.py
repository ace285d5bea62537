"""Pictures that a caller gives: a place as `zoo evaluate` takes it, or a loaded dataset or split."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zoo.data import make_dataset
from zoo.data.given import brought_classes
from zoo.data.labels import in_classes
from zoo.data.listing import quoted, some
from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UsageError
from zoo.evaluation.pictures import NAMES, EvalSet, choose, split_of
from zoo.images.values import Range
from zoo.recipes.place import PicturePlace

# The last is a pair of pictures and labels, a dataset of another library, or a mapping of those for each split.
Data = str | os.PathLike[str] | Dataset | Split | Any
KEYS = {"test": ("test",), "val": ("val", "validation"), "train": ("train",)}


def given_set(data: Data, classes: Sequence[str], pixel_range: Range | None, wanted: str | None = None) -> EvalSet:
    """The pictures with their labels in the order of `classes`.

    Args:
        data: a place; a dataset, of which the test split is taken, or else the validation split; a split whose labels
            count in `classes`; a pair of pictures and labels; a dataset of another library; or a mapping of such by
            the names of splits.
        classes: of the model.
        pixel_range: as in `zoo.specs.PreprocessSpec`.
        wanted: another split of the dataset: `test`, `val` or `train`.

    Raises:
        UsageError: the place does not exist, or `data` is something else.
        DataError: there are no pictures, or pictures of classes that the model does not know.
    """
    if isinstance(data, str | os.PathLike):
        place = PicturePlace(dataset=os.fspath(data), pixel_range=pixel_range)
        return choose(place, classes, wanted, own=False)
    if isinstance(data, Mapping):
        return _of_splits(data, classes, wanted, pixel_range)
    if isinstance(data, Dataset):
        name, split = split_of(data, PicturePlace(dataset=data.source), wanted)
        origin = data.source or "the dataset"
        split = in_classes(split, data.classes, classes, origin).within(pixel_range)
        return EvalSet(dataset=origin, source=data.source, split_name=name, split=split, notes=data.notes)
    if wanted is not None:
        raise UsageError("These pictures have no splits.", "Leave out split.", code="impossible-option")
    if isinstance(data, Split):
        _check_labels(data.labels, len(classes))
        return EvalSet(dataset="the split", source="", split_name="given", split=data.within(pixel_range))
    if has_labels(data):
        split = labelled_split(data, classes).within(pixel_range)
        return EvalSet(dataset="the pictures", source="", split_name="given", split=split)
    raise UsageError(
        f"The pictures cannot be an object of type {type(data).__name__}.",
        "Give a folder, a list file, the name of a dataset, a zoo.data.Dataset or Split, or a pair of pictures and "
        "labels.",
        code="impossible-option",
    )


def _of_splits(
    data: Mapping[str, Any], classes: Sequence[str], wanted: str | None, pixel_range: Range | None
) -> EvalSet:
    """The wanted one of several splits by name; by default test, else validation, else train."""
    for name in (wanted,) if wanted else ("test", "val", "train"):
        part = next((data[key] for key in KEYS[name] if key in data), None)
        if part is not None:
            split = labelled_split(part, classes).within(pixel_range)
            return EvalSet(dataset="the pictures", source="", split_name=NAMES[name], split=split)
    raise UsageError(
        f"The pictures have no split '{wanted or 'test'}', but {some(quoted(map(str, data))) or 'none at all'}.",
        "Give the keys train, val or test.",
        code="split-names",
    )


def has_labels(given: Any) -> bool:
    """Whether it is a pair of pictures and labels, or a dataset of another library."""
    if isinstance(given, tuple):
        return len(given) == 2  # noqa: PLR2004
    return hasattr(given, "__getitem__") and not isinstance(given, Sequence | np.ndarray)


def labelled_split(given: Any, classes: Sequence[str]) -> Split:
    """What `has_labels`, with labels that count in `classes`: by name if it brings names. Raises `DataError`."""
    if brought_classes(given) is None:
        return make_dataset(given, classes=tuple(classes)).train
    made = make_dataset(given)
    return in_classes(made.train, made.classes, classes, f"the {type(given).__name__}")


def _check_labels(labels: np.ndarray, num_classes: int) -> None:
    if not len(labels):
        raise DataError("The split has no pictures.", "Give a split with pictures.", code="no-pictures")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"The labels of the split are from {low} to {high}, but the model has {num_classes} classes.",
            f"Give labels from 0 to {num_classes - 1}, in the order of the model's classes.",
            code="labels-out-of-range",
        )
