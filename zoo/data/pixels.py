"""Decoded pictures: the request for them, and their rows of pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from typing import Protocol

import numpy as np

from zoo.data.sources import Source
from zoo.data.stamps import Stamp
from zoo.images.values import ValueLog
from zoo.specs import PreprocessSpec

FORMAT = 2  # of a store, and of the pixels that `zoo.images` decodes; after an increase, older stores are not used

FEW = 64  # files that a thread takes at a time
STAMP_THREADS = 8


class Rows(Protocol):
    """Pictures of one size by their index in a split."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Takes int64 `[n]`; returns uint8 `[n, R, R]` or `[n, R, R, 3]`."""

    def announce(self, indices: np.ndarray) -> None:
        """Announces the pictures that will be taken, in this order, int64 `[n]`. Cancels earlier announcements."""


class StoredRows:
    """Rows of an array.

    Args:
        array: uint8 `[N, R, R]` or `[N, R, R, 3]`, in memory or mapped.
        numbers: the rows to use, int64 `[M]`. None: all rows.
    """

    def __init__(self, array: np.ndarray, numbers: np.ndarray | None = None) -> None:
        self.array, self.numbers = array, numbers

    def take(self, indices: np.ndarray) -> np.ndarray:
        rows: np.ndarray = self.array[indices if self.numbers is None else self.numbers[indices]]
        return rows

    def announce(self, indices: np.ndarray) -> None:
        """Does nothing: the rows are ready."""


@dataclass(frozen=True)
class DecodeRequest:
    """A request for decoded pictures.

    Attributes:
        sources: of N pictures, sorted, each once.
        stamps: of each of them.
        specs: one or two sizes. Each picture becomes the resized output of `Preprocess` in each of them.
        origin: where the pictures come from, for people.
    """

    sources: tuple[Source, ...]
    stamps: tuple[Stamp | None, ...]
    specs: tuple[PreprocessSpec, ...]
    origin: str

    @property
    def lasting(self) -> bool:
        """Whether another process can ask for the same pictures."""
        return all(source.lasting for source in self.sources)

    @property
    def num_bytes(self) -> int:
        return len(self.sources) * sum(3 * spec.image_size**2 for spec in self.specs)

    @cached_property
    def key(self) -> str:
        """A hash of the files and of all settings that change the pixels, except the second size."""
        spec = self.specs[0]
        made_by = (FORMAT, version("pillow"), version("torch"))
        settings: tuple[object, ...] = (spec.image_size, spec.resize, spec.crop_fraction, spec.pixel_range)
        if spec.interpolation != "bilinear":
            settings += (spec.interpolation,)
        digest = hashlib.sha256(repr((made_by, settings)).encode())
        for source, stamp in zip(self.sources, self.stamps, strict=True):
            key = source.key if source.path is None else os.path.abspath(source.path)  # noqa: PTH100 (links stay)
            digest.update(key.encode(errors="surrogateescape") + f"\0{stamp}\n".encode())
        return digest.hexdigest()[:32]

    def is_unchanged(self) -> bool:
        """Whether the files have not changed."""
        return self.stamps == stamps(self.sources)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded pictures.

    Attributes:
        arrays: uint8 `[n, R, R, 3]` of the readable pictures in their order, one array per spec.
        unreadable: one sentence for each unreadable picture, by index.
        values: what was found in pictures of more than 8 bits.
    """

    arrays: tuple[np.ndarray, ...]
    unreadable: dict[int, str]
    values: ValueLog


def stamps(sources: Sequence[Source]) -> tuple[Stamp | None, ...]:
    """Of each picture. Threads read ahead: from a cold disk or a network, each file takes a millisecond or more."""
    if len(sources) < FEW:
        return tuple(source.stamp() for source in sources)
    with ThreadPoolExecutor(STAMP_THREADS) as pool:
        parts = [sources[start : start + FEW] for start in range(0, len(sources), FEW)]
        return tuple(chain.from_iterable(pool.map(lambda part: [source.stamp() for source in part], parts)))
