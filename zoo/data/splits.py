"""Random parts of a split, the same on every platform: a validation split, or a smaller split for a first try."""

from __future__ import annotations

import numpy as np

from zoo.data.types import Split


def split_validation(train: Split, num_classes: int, fraction: float = 0.1, seed: int = 0) -> tuple[Split, Split]:
    """Splits a seeded, stratified validation split off the training pictures.

    Each class keeps at least one picture, and gives at least one if it has two or more. The choice is the same on every
    platform.

    Args:
        num_classes: K; labels run from 0 to K - 1.
        fraction: share of each class for validation, rounded to the nearest picture, 0 < fraction < 1.
        seed: of the choice.

    Returns:
        The remaining training split and the validation split, both in the order of `train`. The validation split is
        empty where no class has two pictures.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = np.zeros(len(train), dtype=bool)
    for label in range(num_classes):
        members = rng.permutation(np.flatnonzero(train.labels == label))
        wanted = max(1, int(len(members) * fraction + 0.5))
        chosen[members[: min(wanted, len(members) - 1)] if len(members) else members] = True
    return train.subset(np.flatnonzero(~chosen)), train.subset(np.flatnonzero(chosen))


def limited(split: Split, num_classes: int, count: int, seed: int) -> Split:
    """A seeded, stratified part of a split, in its order, or the whole split if it has at most `count` pictures.

    Each class keeps its share, and at least one picture.

    Args:
        num_classes: K. Labels are 0 to K - 1, and at most `count` of them have pictures.
        count: number of pictures.
    """
    if count >= len(split):
        return split
    rng = np.random.Generator(np.random.PCG64(seed))
    sizes = np.bincount(split.labels, minlength=num_classes)
    exact = sizes * count / len(split)
    shares = np.where(sizes > 0, np.maximum(1, exact.astype(int)), 0)
    # The sum must be `count`: the largest remainders get one more, the largest excesses one less.
    while shares.sum() < count:
        shares[np.argmax(np.where(shares < sizes, exact - shares, -np.inf))] += 1
    while shares.sum() > count:
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    chosen = [rng.permutation(np.flatnonzero(split.labels == label))[: shares[label]] for label in range(num_classes)]
    return split.subset(np.sort(np.concatenate(chosen)))


def evenly(labels: np.ndarray, seed: int) -> np.ndarray:
    """All indices in an order of which every beginning has the classes as evenly as it can, int64 `[N]`."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    return order[np.argsort(turn[order], kind="stable")]
