"""A loaded dataset: pictures that are decoded when they are needed, labels, classes and splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.data.pictures import Pictures
from zoo.images.values import Range


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their labels, int64 `[N]`, each an index into the dataset's classes."""

    pictures: Pictures
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> Split:
        """The pictures at `indices` (int64), in that order."""
        return Split(self.pictures.subset(indices), self.labels[indices])

    def value_warnings(self, *, trained: bool = False) -> list[str]:
        """As `ValueLog.warnings`, about the pictures that were read so far."""
        return self.pictures.log.warnings(self.pictures.pixel_range, trained=trained)

    def within(self, pixel_range: Range | None) -> Split:
        """The same pictures, read by this range."""
        return self if pixel_range is None else Split(self.pictures.within(pixel_range), self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled pictures from the disk.

    Attributes:
        val, test: None where the publisher (or the folder) has none. `zoo.data.splits` makes a `val` from `train`.
        source: where the pictures came from, for the run's record.
        notes: messages for the user about the pictures, for example about a substitute. One sentence each.
        doubts: those of the notes that say that classes or labels may be wrong. `zoo check` warns of them.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
