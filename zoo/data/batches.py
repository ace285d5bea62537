"""Batches of pictures of one size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

# Limits the pictures that wait in memory: 64 million pixels are 192 MB of uint8.
MAX_WAITING_PIXELS = 64 * 2**20
# A runtime computes in float32, with up to 15 bytes for each pixel of the batch.
MAX_BATCH_PIXELS = 4_000_000
# A picture of a rare size waits for no more than this many others: results that are printed in order wait for it.
MAX_LATER_PICTURES = 256


def batches_by_size(
    pictures: Iterable[tuple[int, np.ndarray]], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Groups pictures of equal size: yields their indices and uint8 `[n, H, W, 3]`, n <= batch_size.

    A batch has at most `MAX_BATCH_PIXELS`, or a single picture. `MAX_WAITING_PIXELS` and `MAX_LATER_PICTURES` limit how
    long a picture of a rare size waits for others.
    """
    groups: dict[tuple[int, ...], _Group] = {}  # in the order of their first pictures
    waiting = 0
    for number, (index, picture) in enumerate(pictures):
        group = groups.setdefault(picture.shape, _Group(number))
        group.members.append((index, picture))
        pixels = picture.shape[0] * picture.shape[1]
        waiting += pixels
        if len(group.members) == batch_size or (len(group.members) + 1) * pixels > MAX_BATCH_PIXELS:
            waiting -= len(group.members) * pixels
            yield from groups.pop(picture.shape).batches()
        elif waiting > MAX_WAITING_PIXELS:
            for full in groups.values():
                yield from full.batches()
            groups, waiting = {}, 0
        while groups and number - next(iter(groups.values())).begun >= MAX_LATER_PICTURES:
            height, width, _ = oldest = next(iter(groups))
            waiting -= len(groups[oldest].members) * height * width
            yield from groups.pop(oldest).batches()
    for rest in groups.values():
        yield from rest.batches()


@dataclass(frozen=True, slots=True)
class _Group:
    begun: int
    members: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def batches(self) -> list[tuple[list[int], np.ndarray]]:
        """One batch, or one per picture where memory is too small for a copy of them all."""
        indices, pictures = zip(*self.members, strict=True)
        try:
            return [(list(indices), pictures[0][None] if len(pictures) == 1 else np.stack(pictures))]
        except MemoryError:
            return [([index], picture[None]) for index, picture in self.members]
