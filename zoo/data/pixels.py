"""Decoded pictures: which ones are wanted, and rows of pixels wherever they lie."""

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

from zoo.specs import PreprocessSpec

FORMAT = 1  # of a store, and of what `zoo.images` makes of a file: a higher one leaves older stores behind

Stamp = tuple[int, int] | None


class Rows(Protocol):
    """Pictures of one size by their index in a split."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Takes int64 `[n]`; returns uint8 `[n, R, R]` or `[n, R, R, 3]`."""

    def announce(self, indices: np.ndarray) -> None:
        """Says which pictures will be taken, in that order, int64 `[n]`; what was announced before is void."""


class StoredRows:
    """Rows of an array.

    Args:
        array: uint8 `[N, R, R]` or `[N, R, R, 3]`, in memory or mapped.
        numbers: which of them are meant, int64 `[M]`; None for all.
    """

    def __init__(self, array: np.ndarray, numbers: np.ndarray | None = None) -> None:
        self.array, self.numbers = array, numbers

    def take(self, indices: np.ndarray) -> np.ndarray:
        rows: np.ndarray = self.array[indices if self.numbers is None else self.numbers[indices]]
        return rows

    def announce(self, indices: np.ndarray) -> None:
        """Nothing has to be made ready."""


@dataclass(frozen=True)
class DecodeRequest:
    """Pictures in files as training wants them.

    Attributes:
        paths: of N files, sorted, each once.
        stamps: of each, as `stamp` gives them.
        specs: what is made of a picture: `Preprocess`'s resized output, once or at two sizes.
        source: whose pictures they are, for people.
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
        """Stands for the files as they are, and for all that decides about the pixels; not for the second size."""
        spec = self.specs[0]
        made_by = (FORMAT, version("pillow"), version("torch"), spec.image_size, spec.resize, spec.crop_fraction)
        digest = hashlib.sha256(repr(made_by).encode())
        for path, stamp_ in zip(self.paths, self.stamps, strict=True):
            digest.update(os.path.abspath(path).encode(errors="surrogateescape") + f"\0{stamp_}\n".encode())  # noqa: PTH100 (links stay)
        return digest.hexdigest()[:32]

    def is_unchanged(self) -> bool:
        """Whether the files are still the same."""
        return self.stamps == stamps(self.paths)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels of wanted pictures.

    Attributes:
        arrays: uint8 `[n, R, R, 3]` of the readable pictures in their order, one for each spec.
        unreadable: one sentence for each of the others, by index.
    """

    arrays: tuple[np.ndarray, ...]
    unreadable: dict[int, str]


def stamp(path: Path) -> Stamp:
    """Size in bytes and time of change in ns of a file, None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    return tuple(stamp(path) for path in paths)
