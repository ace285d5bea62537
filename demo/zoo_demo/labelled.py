"""The true classes of pictures that lie in a folder for each class, and the figures that follow from them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from zoo import metrics


def true_classes(names: Sequence[str], classes: Sequence[str]) -> tuple[list[int] | None, str | None]:
    """The class of each picture by the folder that it lies in, at whatever depth all of these folders are.

    Returns:
        The numbers of the classes; None where not all lie in folders of classes. Then also the name of a folder that is
        no class although others beside it are.
    """
    index = {unicodedata.normalize("NFC", name): number for number, name in enumerate(classes)}
    folders = [[unicodedata.normalize("NFC", part) for part in PurePosixPath(name).parts[:-1]] for name in names]
    unknown = None
    for depth in range(min(map(len, folders), default=0)):
        level = [parts[depth] for parts in folders]
        known = [index[name] for name in level if name in index]
        if len(known) == len(level):
            return known, None
        if known and unknown is None:
            unknown = next(name for name in level if name not in index)
    return None, unknown


@dataclass(frozen=True)
class Figures:
    """The figures of N pictures with known classes. Only classes that are true or predicted for one are among its K.

    Attributes:
        classes: K names.
        counts: the confusion matrix, int64 `[K, K]`: row = true class, column = predicted class.
    """

    classes: tuple[str, ...]
    counts: np.ndarray

    @classmethod
    def of(cls, classes: Sequence[str], true: Sequence[int], predicted: Sequence[int]) -> Figures:
        """From the numbers of classes of N pictures, N >= 1."""
        present, numbers = np.unique([*true, *predicted], return_inverse=True)
        rows, columns = numbers.reshape(2, -1)
        num = len(present)
        counts = np.bincount(rows * num + columns, minlength=num**2).reshape(num, num)
        return cls(tuple(classes[number] for number in present), counts)

    @cached_property
    def by_class(self) -> metrics.ClassFigures:
        return metrics.class_figures(self.counts)

    @property
    def total(self) -> int:
        """N."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """How many answers are right."""
        return int(np.trace(self.counts))

    def confusions(self) -> list[tuple[str, str, int]]:
        """True class, predicted class and number of pictures of each kind of mistake, the most frequent first."""
        found = metrics.confusions(self.counts)
        return [(self.classes[true], self.classes[predicted], number) for true, predicted, number in found]

    def shown(self, most: int) -> list[int]:
        """The classes of a matrix of at most so many rows: those with the most mistakes, in their order."""
        mistakes = self.counts.sum(1) + self.counts.sum(0) - 2 * np.diag(self.counts)
        found: list[int] = np.sort(np.argsort(-mistakes, kind="stable")[:most]).tolist()
        return found
