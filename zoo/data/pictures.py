"""The pictures of a split: what all kinds of them offer, and the kinds."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from zoo.data.sources import ArraySource, FileSource, Source
from zoo.images.read import Admit
from zoo.images.values import Range, ValueLog


class Pictures(Protocol):
    """N pictures.

    Attributes:
        array: all of them, uint8 `[N, H, W]` (grey) or `[N, H, W, 3]`, if they have one size and are decoded.
        pixel_range: as in `zoo.images.read_picture`.
        log: of what was found in those that were read. Subsets share it.
    """

    pixel_range: Range | None
    log: ValueLog

    @property
    def array(self) -> np.ndarray | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """The picture as uint8 `[H, W, 3]`. Raises `UnreadablePictureError`."""
        ...

    def read(self, index: int, admit: Admit) -> np.ndarray:
        """The picture, decoded after `admit` allows it. Raises as `zoo.images.read_picture`."""
        ...

    def source(self, index: int) -> Source:
        """Where the picture is, and what is known of it without decoding it."""
        ...

    def name(self, index: int) -> str:
        """For messages."""
        ...

    def size(self, index: int) -> int:
        """Bytes to read, 0 where that is unknown."""
        ...

    def subset(self, indices: np.ndarray) -> Self:
        """The pictures at `indices` (int64), in that order."""
        ...

    def within(self, pixel_range: Range) -> Self:
        """The same pictures, read by this range."""
        ...

    def fingerprint(self, digest: hashlib._Hash) -> None:
        """Adds what tells these pictures from others: the same for a copy of the dataset in another place."""
        ...


class ArrayPictures:
    """Pictures of one size in one array.

    Args:
        array: uint8 `[N, H, W]` (grey) or `[N, H, W, 3]`.
    """

    pixel_range: Range | None = None  # 8 bits have none

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.log = ValueLog()

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.source(index).read()

    def read(self, index: int, admit: Admit) -> np.ndarray:  # noqa: ARG002 (it needs little memory beside the array)
        return self[index]

    def source(self, index: int) -> ArraySource:
        return ArraySource(self.array[index], self.name(index))

    def name(self, index: int) -> str:
        return f"picture {index}"

    def size(self, index: int) -> int:
        return int(self.array[index].nbytes)

    def subset(self, indices: np.ndarray) -> ArrayPictures:
        return ArrayPictures(self.array[indices])

    def within(self, pixel_range: Range) -> ArrayPictures:  # noqa: ARG002
        return self

    def fingerprint(self, digest: hashlib._Hash) -> None:
        digest.update(self.array.data)


class SourcePictures:
    """Pictures that are decoded each time they are read.

    Args:
        sources: of each picture.
        pixel_range: as of `Pictures`.
    """

    array: None = None

    def __init__(self, sources: Iterable[Source], pixel_range: Range | None = None) -> None:
        self.sources = tuple(sources)
        self.pixel_range, self.log = pixel_range, ValueLog()

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._read(index, None)

    def read(self, index: int, admit: Admit) -> np.ndarray:
        return self._read(index, admit)

    def _read(self, index: int, admit: Admit | None) -> np.ndarray:
        return self.sources[index].read(admit, self.pixel_range, self.log.of(self.name(index)))

    def source(self, index: int) -> Source:
        return self.sources[index]

    def name(self, index: int) -> str:
        return self.sources[index].name

    def size(self, index: int) -> int:
        return self.sources[index].num_bytes()

    def subset(self, indices: np.ndarray) -> Self:
        part = copy.copy(self)
        part.sources = tuple(self.sources[index] for index in indices)
        return part

    def within(self, pixel_range: Range) -> Self:
        same = copy.copy(self)
        same.pixel_range, same.log = pixel_range, ValueLog()
        return same

    def fingerprint(self, digest: hashlib._Hash) -> None:
        for source in self.sources:
            digest.update(f"{source.key if source.lasting else source.name}\0".encode(errors="surrogateescape"))


class FilePictures(SourcePictures):
    """Pictures in files."""

    def __init__(self, paths: Sequence[Path], pixel_range: Range | None = None) -> None:
        super().__init__(map(FileSource, paths), pixel_range)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of each file."""
        return tuple(source.path for source in self.sources if source.path)

    def fingerprint(self, digest: hashlib._Hash) -> None:
        """Of the names below the folder that holds all of them."""
        paths = [source.name for source in self.sources]
        root = len(os.path.commonpath([os.path.dirname(path) for path in paths]))  # noqa: PTH120
        digest.update("\0".join(path[root:] for path in paths).encode(errors="surrogateescape"))
