"""A loaded dataset: pictures that are decoded when they are needed, labels, classes and splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.images import read_picture
from zoo.images.read import Admit


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
    """Pictures in files, decoded each time they are read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """The picture as uint8 `[H, W, 3]`. Raises `UnreadablePictureError`."""
        return read_picture(self.paths[index])

    def read(self, index: int, admit: Admit) -> np.ndarray:
        """The picture, decoded after `admit` allows it. Raises as `read_picture`."""
        return read_picture(self.paths[index], admit=admit)

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
            pictures = FilePictures([self.pictures.paths[i] for i in indices])
        return Split(pictures, self.labels[indices])


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
