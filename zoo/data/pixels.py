"""Decoded pictures: the request for them, and their rows of pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np

from zoo.images.values import ValueLog
from zoo.specs import PreprocessSpec

FORMAT = 2  # of a store, and of the pixels that `zoo.images` decodes; after an increase, older stores are not used

Stamp = tuple[int, int] | None


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
        paths: of N files, sorted, each once.
        stamps: of each file, from `stamp`.
        specs: one or two sizes. Each picture becomes the resized output of `Preprocess` in each of them.
        source: where the pictures come from, for people.
    """

    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    specs: tuple[PreprocessSpec, ...]
    source: str

    @property
    def num_bytes(self) -> int:
        return len(self.paths) * sum(3 * spec.image_size**2 for spec in self.specs)

    @cached_property
    def key(self) -> str:
        """A hash of the files and of all settings that change the pixels, except the second size."""
        spec = self.specs[0]
        made_by = (FORMAT, version("pillow"), version("torch"))
        settings = (spec.image_size, spec.resize, spec.crop_fraction, spec.pixel_range)
        digest = hashlib.sha256(repr((made_by, settings)).encode())
        for path, stamp_ in zip(self.paths, self.stamps, strict=True):
            digest.update(os.path.abspath(path).encode(errors="surrogateescape") + f"\0{stamp_}\n".encode())  # noqa: PTH100 (links stay)
        return digest.hexdigest()[:32]

    def is_unchanged(self) -> bool:
        """Whether the files have not changed."""
        return self.stamps == stamps(self.paths)


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


def stamp(path: Path) -> Stamp:
    """Size in bytes and modification time in ns of a file. None if it is missing."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    return tuple(stamp(path) for path in paths)
