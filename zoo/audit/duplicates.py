"""Finds pictures that occur twice: in one split, in two splits or with two labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.audit.near_duplicates import MAX_DISTANCE, near_groups
from zoo.audit.scan import Scan

_EXACT, _FAR = -1, 99


@dataclass(frozen=True, slots=True, order=True)
class Double:
    """Two equal or similar pictures, by their numbers in a scan; `a` is before `b`.

    Attributes:
        kind: `exact`, the same pixels; or `near`.
        distance: of their perceptual hashes, in bits of 64; 0 where exact.
    """

    a: int
    b: int
    kind: Literal["exact", "near"]
    distance: int


def find_doubles(found: Scan) -> tuple[Double, ...]:
    """Pairs each picture with the most similar earlier picture of every split, and of another label.

    Pictures of one flat colour have no pairs.
    """
    pairs: set[Double] = set()
    for numbers, codes, hashes in _groups(found):
        splits = np.array([found.split_of(number) for number in numbers.tolist()])
        labels = found.labels[numbers]
        for later in range(1, len(numbers)):
            distances = np.bitwise_count(hashes[:later] ^ hashes[later]).astype(int)
            distances[distances > MAX_DISTANCE] = _FAR
            distances[codes[:later] == codes[later]] = _EXACT
            kinds = [splits[:later] == split for split in found.splits]
            for wanted in (*kinds, labels[:later] != labels[later]):
                nearest = int(np.where(wanted, distances, _FAR).argmin())
                if wanted[nearest] and distances[nearest] != _FAR:
                    pairs.add(_double(numbers[nearest], numbers[later], distances[nearest]))
    return tuple(sorted(pairs))


def _double(a: np.int64, b: np.int64, distance: np.int64) -> Double:
    return Double(int(a), int(b), "exact" if distance == _EXACT else "near", max(0, int(distance)))


def _groups(found: Scan) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields groups of two or more: numbers in order, a code for the pixels of each, and hashes (0 if unknown)."""
    copies: dict[bytes, list[int]] = {}
    for number, digest in enumerate(found.digests):
        if digest and not found.blank[number]:
            copies.setdefault(digest, []).append(number)
    firsts = [numbers[0] for numbers in copies.values()]
    hashes = np.zeros(len(firsts), dtype=np.uint64)
    groups = np.arange(len(firsts))
    compared = np.array([i for i, number in enumerate(firsts) if number in found.thumbs], dtype=np.int64)
    if len(compared):
        roots, hashes[compared] = near_groups(np.stack([found.thumbs[firsts[i]] for i in compared]))
        groups[compared] = compared[roots]
    members: dict[int, list[tuple[int, int]]] = {}
    for code, (group, numbers) in enumerate(zip(groups.tolist(), copies.values(), strict=True)):
        members.setdefault(group, []).extend((number, code) for number in numbers)
    for pairs in members.values():
        if len(pairs) > 1:
            places, codes = np.array(sorted(pairs)).T
            yield places, codes, hashes[codes]
