"""What makes a training refuse a dataset. `zoo train` raises it, and `zoo check` lists it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.errors import DataError


@dataclass(frozen=True, slots=True)
class ReadSplit:
    """A split after its pictures were decoded.

    Attributes:
        labels: of all pictures, int64 `[N]`.
        readable: labels of those that can be read, int64 `[n]`.
        unreadable: one sentence for each of the others.
    """

    labels: np.ndarray
    readable: np.ndarray
    unreadable: Sequence[str]


def refusals(
    splits: Mapping[str, ReadSplit], classes: Sequence[str], max_unreadable: float, *, cut: bool
) -> Iterator[tuple[str, DataError]]:
    """Yields the name of a split and what is wrong with it.

    Args:
        splits: `train` and `val`, and `test` if it has been read.
        max_unreadable: the largest share of unreadable pictures.
        cut: whether `val` is a part of the dataset's training pictures: its share of unreadable ones then counts with
            theirs, because one of twenty is not much of 200.
    """
    shares = {name: [split] for name, split in splits.items()}
    if cut:
        shares["train"] += shares.pop("val", [])
    for name, parts in shares.items():
        unreadable = [sentence for part in parts for sentence in part.unreadable]
        try:
            check_unreadable(unreadable, sum(len(part.labels) for part in parts), max_unreadable)
        except DataError as error:
            yield name, error
    for name in ("train", "val"):
        if name not in splits:
            continue
        for label in sorted(set(splits[name].labels.tolist()) - set(splits[name].readable.tolist())):
            yield (
                name,
                DataError(
                    f"No picture of the class '{classes[label]}' can be read in {name}.",
                    "Fix or replace the pictures of that class, or remove it.",
                    code="class-without-readable-pictures",
                ),
            )
    if len(splits["train"].readable) < 2:  # noqa: PLR2004
        yield (
            "train",
            DataError("There are fewer than two pictures to train on.", "Give more pictures.", code="too-few-pictures"),
        )


def check_unreadable(unreadable: Sequence[str], total: int, share: float) -> None:
    """Raises `DataError` where more than `share` of `total` pictures are unreadable."""
    if len(unreadable) > share * total:
        enough = math.ceil(100 * len(unreadable) / total) / 100
        raise DataError(
            f"{len(unreadable)} of {total} pictures cannot be read. The first: {unreadable[0]}",
            f"Fix or remove them, or allow more with --max-unreadable {enough:.2f}",
            code="too-many-unreadable",
        )
