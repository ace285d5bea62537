"""Makes a dataset from the picture files and class names of folders or list files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.data.types import Dataset, FilePictures, Split
from zoo.errors import DataError


@dataclass(frozen=True, slots=True)
class Listing:
    """Labelled files of one split.

    Attributes:
        origin: the folder or the list file of the pictures.
        files: their paths.
        labels: the name of each picture's class.
        notes: as in `zoo.data.Dataset`.
    """

    origin: Path
    files: Sequence[Path]
    labels: Sequence[str]
    notes: tuple[str, ...] = ()


def assemble(train: Listing, val: Listing | None, test: Listing | None, *, source: Path) -> Dataset:
    """Makes a dataset. Its classes are those of `train`, sorted by value if all are numbers, otherwise as text.

    Args:
        source: the path that the user gave, for the run's record.

    Raises:
        DataError: there are fewer than two classes, or `train` has no pictures of a class.
    """
    classes = sort_labels(set(train.labels))
    if len(classes) < 2:  # noqa: PLR2004
        raise DataError(
            f"'{train.origin}' has only one class, '{classes[0]}'. A classifier needs two or more.",
            "Add pictures of another class.",
            code="one-class",
        )
    index = {name: i for i, name in enumerate(classes)}
    parts = {"train": train, "val": val, "test": test}
    notes = [note for part in parts.values() if part for note in part.notes]
    return Dataset(
        classes=classes,
        train=_split(train, index, train),
        val=_split(val, index, train) if val else None,
        test=_split(test, index, train) if test else None,
        source=str(source),
        notes=(*dict.fromkeys(notes), *_shared(parts), *_missing(parts, classes)),
    )


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Sorts class names: by value if all are whole numbers, otherwise as text."""
    names = sorted(labels)
    if all(name.removeprefix("-").isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def some(items: Sequence[str], most: int = 3) -> str:
    """The first few items, for a sentence: `a, b, c and 7 more`."""
    text = ", ".join(items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most} more"


def quoted(items: Iterable[str]) -> list[str]:
    """Puts each item in single quotes."""
    return [f"'{item}'" for item in items]


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


def _shared(parts: dict[str, Listing | None]) -> list[str]:
    train = parts["train"]
    assert train is not None
    known = set(train.files)
    counts = {name: len(known & set(part.files)) for name, part in parts.items() if part and name != "train"}
    return [
        f"{count} pictures are in both train and {name}, so the figures on {name} will be too good."
        for name, count in counts.items()
        if count
    ]


def _missing(parts: dict[str, Listing | None], classes: Sequence[str]) -> list[str]:
    gone = {name: sort_labels(set(classes) - set(part.labels)) for name, part in parts.items() if part}
    return [
        f"There are no pictures of {some(quoted(names))} in {part}, so its figures say nothing about them."
        for part, names in gone.items()
        if names
    ]
