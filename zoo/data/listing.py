"""Labelled picture files, from a folder or a list file, before they are a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Listing:
    """Labelled files of one split.

    Attributes:
        origin: the folder or the list file of the pictures.
        files: their paths.
        labels: the name of each picture's class.
        notes, doubts: as in `zoo.data.Dataset`.
    """

    origin: Path
    files: Sequence[Path]
    labels: Sequence[str]
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


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
