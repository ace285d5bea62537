"""Makes a dataset from the picture files and class names of folders or list files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.data.class_names import check_class_names, in_one_form, name_notes
from zoo.data.listing import Listing, quoted, some, sort_labels
from zoo.data.pictures import FilePictures
from zoo.data.same_files import shared_notes, without_repeats
from zoo.data.types import Dataset, Split
from zoo.errors import DataError


def assemble(train: Listing, val: Listing | None, test: Listing | None, *, source: Path) -> Dataset:
    """Makes a dataset. Its classes are those of `train`, sorted by value if all are numbers, otherwise as text.

    Args:
        source: the path that the user gave, for the run's record.

    Raises:
        DataError: there are fewer than two classes, `train` has no pictures of a class, the name of a class is
            impossible, a file has two labels, or all files of a split are in train.
    """
    parts = {"train": train, "val": val, "test": test}
    given = in_one_form({name: part for name, part in parts.items() if part})
    for part in given.values():
        check_class_names(set(part.labels), f"'{part.origin}'")
    unique = {name: without_repeats(part) for name, part in given.items()}
    splits = {name: part for name, (part, _) in unique.items()}
    places = {name: found for name, (_, found) in unique.items()}
    train = splits["train"]
    classes = sort_labels(set(train.labels))
    if len(classes) < 2:  # noqa: PLR2004
        raise DataError(
            f"'{train.origin}' has only one class, '{classes[0]}'. A classifier needs two or more.",
            "Add pictures of another class.",
            code="one-class",
        )
    index = {name: i for i, name in enumerate(classes)}
    notes = [note for part in splits.values() for note in part.notes]
    doubts = [*(doubt for part in splits.values() for doubt in part.doubts), *name_notes(classes)]
    return Dataset(
        classes=classes,
        train=_split(train, index, train),
        val=_split(splits["val"], index, train) if val else None,
        test=_split(splits["test"], index, train) if test else None,
        source=str(source),
        notes=tuple(dict.fromkeys([*notes, *doubts, *shared_notes(splits, places), *_missing(splits, classes)])),
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _split(part: Listing, index: dict[str, int], train: Listing) -> Split:
    unknown = sort_labels(set(part.labels) - index.keys())
    if unknown:
        raise DataError(
            f"'{part.origin}' has pictures of class {some(quoted(unknown))}, but '{train.origin}' has none.",
            f"Add training pictures of this class, or remove its pictures from '{part.origin}'.",
            code="class-without-training-pictures",
        )
    labels = np.array([index[name] for name in part.labels], dtype=np.int64)
    return Split(FilePictures(part.files), labels)


def _missing(parts: dict[str, Listing], classes: Sequence[str]) -> list[str]:
    gone = {name: sort_labels(set(classes) - set(part.labels)) for name, part in parts.items()}
    return [
        f"There are no pictures of {some(quoted(names))} in {part}, so its figures say nothing about them."
        for part, names in gone.items()
        if names
    ]
