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
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from zoo.images.values import ValueLog
from zoo.specs import PreprocessSpec

FORMAT = 2  # of a store, and of the pixels that `zoo.images` decodes; after an increase, older stores are not used

FEW = 64  # files that a thread takes at a time
STAMP_THREADS = 8
SAMPLE_BYTES = 4096  # that a stamp reads at each end of a file


class Stamp(NamedTuple):
    """What tells two contents of one path apart, without reading all of it.

    Attributes:
        size: in bytes.
        modified_ns: time of the last change, which programs can set.
        sample: a hash of the first and the last `SAMPLE_BYTES`.
        changed_ns: time at which the system last changed the file or its permissions, which no program can set. 0 on
            Windows, which has none.
    """

    size: int
    modified_ns: int
    sample: str
    changed_ns: int

    def same_content(self, other: Stamp | None) -> bool:
        """Whether the file is as it was, but for its permissions and links."""
        return other is not None and self[:3] == other[:3]


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
    stamps: tuple[Stamp | None, ...]
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


def stamp(path: Path) -> Stamp | None:
    """None for a file that is missing or cannot be opened."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (half the time of Path.open)
            facts = os.fstat(file.fileno())
            sample = hashlib.blake2b(file.read(SAMPLE_BYTES), digest_size=8)
            if facts.st_size > SAMPLE_BYTES:
                file.seek(max(SAMPLE_BYTES, facts.st_size - SAMPLE_BYTES))
                sample.update(file.read(SAMPLE_BYTES))
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return None
    changed_ns = 0 if os.name == "nt" else facts.st_ctime_ns
    return Stamp(facts.st_size, facts.st_mtime_ns, sample.hexdigest(), changed_ns)


def stamps(paths: Sequence[Path]) -> tuple[Stamp | None, ...]:
    """Of each file. Threads read ahead: from a cold disk or a network, each file takes a millisecond or more."""
    if len(paths) < FEW:
        return tuple(map(stamp, paths))
    with ThreadPoolExecutor(STAMP_THREADS) as pool:
        parts = [paths[start : start + FEW] for start in range(0, len(paths), FEW)]
        return tuple(chain.from_iterable(pool.map(lambda part: [stamp(path) for path in part], parts)))
