"""Pictures that a caller gives: a place as `zoo evaluate` takes it, or a loaded dataset or split."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UsageError
from zoo.evaluation.pictures import EvalSet, choose, in_classes, split_of
from zoo.images.values import Range
from zoo.recipes.place import PicturePlace

Data = str | os.PathLike[str] | Dataset | Split


def given_set(data: Data, classes: Sequence[str], pixel_range: Range | None, wanted: str | None = None) -> EvalSet:
    """The pictures with their labels in the order of `classes`.

    Args:
        data: a place; a dataset, of which the test split is taken, or else the validation split; or a split whose
            labels count in `classes`.
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
    if isinstance(data, Dataset):
        name, split = split_of(data, PicturePlace(dataset=data.source), wanted)
        origin = data.source or "the dataset"
        split = in_classes(split, data.classes, classes, origin).within(pixel_range)
        return EvalSet(dataset=origin, source=data.source, split_name=name, split=split, notes=data.notes)
    if isinstance(data, Split):
        if wanted is not None:
            raise UsageError("A split has no splits.", "Leave out split.", code="impossible-option")
        _check_labels(data.labels, len(classes))
        return EvalSet(dataset="the split", source="", split_name="given", split=data.within(pixel_range))
    raise UsageError(
        f"The pictures cannot be an object of type {type(data).__name__}.",
        "Give a folder, a list file, the name of a dataset, a zoo.data.Dataset or a zoo.data.Split.",
        code="impossible-option",
    )


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
