"""Picture files and the names of their classes, as a folder or a list file gives them, become a dataset."""

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
        origin: the folder or the list file that they come from.
        files: their paths.
        labels: the name of each one's class.
        notes: as in `zoo.data.Dataset`.
    """

    origin: Path
    files: Sequence[Path]
    labels: Sequence[str]
    notes: tuple[str, ...] = ()


def assemble(train: Listing, val: Listing | None, test: Listing | None, *, source: Path) -> Dataset:
    """A dataset whose classes are those of `train`, sorted: by value where all are numbers, else as text.

    Args:
        source: the place that the user named, for the run's record.

    Raises:
        DataError: fewer than two classes, or a class that `train` lacks.
    """
    classes = sort_labels(set(train.labels))
    if len(classes) < 2:  # noqa: PLR2004
        raise DataError(
            f"'{train.origin}' has one class, '{classes[0]}', and a classifier needs two or more.",
            "Add pictures of another class.",
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
    """Names of classes in their order: numerically where all are whole numbers, else as text."""
    names = sorted(labels)
    if all(name.removeprefix("-").isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def some(items: Sequence[str], most: int = 3) -> str:
    """The first few of many, for a sentence: `a, b, c and 7 more`."""
    text = ", ".join(items[:most])
    return text if len(items) <= most else f"{text} and {len(items) - most} more"


def quoted(items: Iterable[str]) -> list[str]:
    """Each in single quotes."""
    return [f"'{item}'" for item in items]


def _split(part: Listing, index: dict[str, int], train: Listing) -> Split:
    strangers = sort_labels(set(part.labels) - index.keys())
    if strangers:
        raise DataError(
            f"'{part.origin}' has pictures of {some(quoted(strangers))}, and '{train.origin}' has none.",
            "Give every class some training pictures, or leave those pictures out.",
        )
    labels = np.array([index[name] for name in part.labels], dtype=np.int64)
    return Split(FilePictures(part.files), labels)


def _shared(parts: dict[str, Listing | None]) -> list[str]:
    train = parts["train"]
    assert train is not None
    known = set(train.files)
    counts = {name: len(known & set(part.files)) for name, part in parts.items() if part and name != "train"}
    return [
        f"{count} pictures are in both train and {name}: the figures on {name} will be too good."
        for name, count in counts.items()
        if count
    ]


def _missing(parts: dict[str, Listing | None], classes: Sequence[str]) -> list[str]:
    gone = {name: sort_labels(set(classes) - set(part.labels)) for name, part in parts.items() if part}
    return [
        f"There are no pictures of {some(quoted(names))} in {part}: what is measured there says nothing about them."
        for part, names in gone.items()
        if names
    ]
