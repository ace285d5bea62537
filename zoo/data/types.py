"""A loaded dataset: pictures that are decoded when they are needed, labels, classes and splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.images import read_picture
from zoo.images.read import Admit
from zoo.images.values import Range, ValueLog


class ArrayPictures:
    """Pictures of one size in one array.

    Args:
        array: uint8 `[N, H, W]` (grey) or `[N, H, W, 3]`.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> np.ndarray:
        """The picture as uint8 `[H, W, 3]`."""
        picture = self.array[index]
        return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)  # noqa: PLR2004

    def read(self, index: int, admit: Admit) -> np.ndarray:  # noqa: ARG002
        """The picture. It needs little memory in addition to the array."""
        return self[index]

    def name(self, index: int) -> str:
        return f"picture {index}"

    def size(self, index: int) -> int:
        """Bytes to read."""
        return int(self.array[index].nbytes)


class FilePictures:
    """Pictures in files, decoded each time they are read.

    Args:
        pixel_range: as in `zoo.images.read_picture`.
        log: of what was found in those that were read. Subsets share it.
    """

    def __init__(self, paths: Sequence[Path], pixel_range: Range | None = None, log: ValueLog | None = None) -> None:
        self.paths = tuple(paths)
        self.pixel_range, self.log = pixel_range, log or ValueLog()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """The picture as uint8 `[H, W, 3]`. Raises `UnreadablePictureError`."""
        return self._read(index, None)

    def read(self, index: int, admit: Admit) -> np.ndarray:
        """The picture, decoded after `admit` allows it. Raises as `read_picture`."""
        return self._read(index, admit)

    def _read(self, index: int, admit: Admit | None) -> np.ndarray:
        observe = self.log.of(self.name(index))
        return read_picture(self.paths[index], admit=admit, pixel_range=self.pixel_range, observe=observe)

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def size(self, index: int) -> int:
        """Bytes to read, or 0 where the file is missing."""
        try:
            return self.paths[index].stat().st_size
        except OSError:
            return 0


Pictures = ArrayPictures | FilePictures


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their labels, int64 `[N]`, each an index into the dataset's classes."""

    pictures: Pictures
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray) -> Split:
        """The pictures at `indices` (int64), in that order."""
        if isinstance(self.pictures, ArrayPictures):
            pictures: Pictures = ArrayPictures(self.pictures.array[indices])
        else:
            chosen = [self.pictures.paths[i] for i in indices]
            pictures = FilePictures(chosen, self.pictures.pixel_range, self.pictures.log)
        return Split(pictures, self.labels[indices])

    def value_warnings(self, *, trained: bool = False) -> list[str]:
        """As `ValueLog.warnings`, about the pictures that were read so far."""
        if isinstance(self.pictures, ArrayPictures):
            return []
        return self.pictures.log.warnings(self.pictures.pixel_range, trained=trained)

    def within(self, pixel_range: Range | None) -> Split:
        """The same pictures, read by this range."""
        if pixel_range is None or isinstance(self.pictures, ArrayPictures):
            return self
        return Split(FilePictures(self.pictures.paths, pixel_range), self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled pictures from the disk.

    Attributes:
        val, test: None where the publisher (or the folder) has none. `zoo.data.splits` makes a `val` from `train`.
        source: where the pictures came from, for the run's record.
        notes: messages for the user about the pictures, for example about a substitute. One sentence each.
        doubts: those of the notes that say that classes or labels may be wrong. `zoo check` warns of them.
    """

    classes: tuple[str, ...]
    train: Split
    val: Split | None = None
    test: Split | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
