"""The pictures that parity compares on: batches of one size, always the same for the same split.

Shapes: n pictures, H rows, W columns, S the side of the square that the network sees.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import ExifTags, Image

from zoo.data.batches import MAX_WAITING_PIXELS, batches_by_size
from zoo.data.prefetch import decode
from zoo.data.types import Split
from zoo.errors import UnreadablePictureError
from zoo.images import read_picture

Kind = Literal["row", "real", "edge", "file"]

ROWS = (7, 2)  # a full batch and a ragged last one
BATCHES = (7, 2, 1)
LARGE_BATCH = 32
# Pictures; a network of few pixels takes nine times as long for a picture alone as for one among 32. Batches grow with
# what was compared before, so that a slow network does not exceed the time of a quick check by much.
SMALL_BATCHES_UNTIL = 40

# How a camera that was held so stores an upright picture: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf
_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    3: lambda a: a[::-1, ::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    8: lambda a: np.rot90(a, -1),
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A batch of pictures of one size.

    Attributes:
        kind: `row`: real pictures at the network's size. `real`: pictures of the split in their own sizes.
            `edge`: noise and unusual sizes. `file`: an encoded picture file.
        name: a short description for messages.
        images: uint8 `[n, H, W, 3]`; None if the split holds them, at `indices`.
        indices: of pictures of the split in their own sizes.
        size: H and W of the pictures at `indices`.
        file: a picture file with the same content. The artifact's side decodes it.
    """

    kind: Kind
    name: str
    images: np.ndarray | None = None
    indices: tuple[int, ...] = ()
    size: tuple[int, ...] = ()
    file: bytes = b""

    def pixels(self, split: Split) -> np.ndarray:
        """The pictures, uint8 `[n, H, W, 3]`."""
        if self.images is not None:
            return self.images
        return np.stack([split.pictures[index] for index in self.indices])

    def without_copy(self) -> Case:
        """The same case and size, without the pixels that the split already holds."""
        assert self.images is not None
        return replace(self, size=self.images.shape[1:3], images=None if self.indices else self.images)


def readable(split: Split) -> Iterator[tuple[int, np.ndarray]]:
    """Yields index and pixels of each readable picture. Any first part of them is spread evenly over the classes."""
    order = _spread_out(split.labels)
    for position, picture in decode(split.subset(order).pictures):
        if not isinstance(picture, UnreadablePictureError):
            yield int(order[position]), picture


def core(pictures: Sequence[np.ndarray], size: int) -> list[Case]:
    """The cases of every check, even with a slow network: rows, a rotated file, a single pixel."""
    rows = np.stack([fitted(picture, size, size) for _, picture in zip(range(sum(ROWS)), itertools.cycle(pictures))])
    full, ragged = np.split(rows, [ROWS[0]])
    return [
        Case("row", "full batch", full),
        Case("row", "ragged batch", ragged),
        _turned(pictures[0], size, 6),
        _noise(1, 1, 1),
    ]


def edges(pictures: Sequence[np.ndarray], size: int) -> Iterator[Case]:
    """Noise of many sizes, black, white, files with EXIF rotation, real pictures of unusual sizes."""
    for count in BATCHES:
        yield _noise(count, size, size)
    yield Case("edge", "black", np.zeros((1, size, size, 3), np.uint8))
    yield Case("edge", "white", np.full((1, size, size, 3), 255, np.uint8))
    for height, width in ((2 * size + 1, max(size - 1, 1)), (37, 53), (1, 5000), (3000, 2)):
        yield _noise(1, height, width)
    several = itertools.cycle(pictures)
    for orientation in (3, 5, 8):
        yield _turned(next(several), size, orientation)
    for orientation in (1, 6):
        yield _jpeg(next(several), size, orientation)
    for height, width in ((size + 1, 3 * size), (3 * size + 2, 2 * size - 1), (size // 2 + 1, size // 3 + 2)):
        yield Case("edge", f"a picture at {height} x {width}", fitted(next(several), height, width)[None])


def real(pictures: Iterable[tuple[int, np.ndarray]], before: int = 0) -> Iterator[Case]:
    """Cases of indexed pictures, in small batches first.

    Args:
        before: how many pictures were compared before these.
    """
    cycle = itertools.cycle(BATCHES)
    for chunk in _chunks(pictures):
        for indices, batch in batches_by_size(chunk, LARGE_BATCH):
            start = 0
            while start < len(batch):
                stop = start + (next(cycle) if before < SMALL_BATCHES_UNTIL else min(LARGE_BATCH, before // 2))
                part = batch[start:stop]
                yield Case("real", "picture", part, tuple(indices[start:stop]))
                before += len(part)
                start = stop


def _chunks(pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Neighbours, few where they are large: batches wait for pictures of their size, so no longer than a chunk."""
    chunk: list[tuple[int, np.ndarray]] = []
    pixels = 0
    for index, picture in pictures:
        chunk.append((index, picture))
        pixels += picture.shape[0] * picture.shape[1]
        if len(chunk) == 2 * LARGE_BATCH or pixels > MAX_WAITING_PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def fitted(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture uint8 `[H, W, 3]` with rows and columns repeated or left out until it has that size."""
    rows = np.linspace(0, picture.shape[0] - 1, height).round().astype(np.int64)
    columns = np.linspace(0, picture.shape[1] - 1, width).round().astype(np.int64)
    return picture[rows][:, columns]


def _spread_out(labels: np.ndarray) -> np.ndarray:
    """Multiples of the golden ratio lie evenly over an interval, wherever one stops (Steinhaus' three gaps)."""
    by_class = np.argsort(labels, kind="stable")
    order: np.ndarray = by_class[np.argsort(np.arange(len(labels)) * ((5**0.5 - 1) / 2) % 1, kind="stable")]
    return order


def _noise(count: int, height: int, width: int) -> Case:
    rng = np.random.default_rng([height, width, count])
    images = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return Case("edge", f"noise {height} x {width}", images)


def _turned(picture: np.ndarray, size: int, orientation: int) -> Case:
    """The classifier sees the upright pixels, the artifact's side a PNG that has to be turned."""
    upright = fitted(picture, size + 9, size + 23)
    return Case("file", f"PNG, EXIF orientation {orientation}", upright[None], file=_file(upright, orientation, "PNG"))


def _jpeg(picture: np.ndarray, size: int, orientation: int) -> Case:
    file = _file(fitted(picture, size + 14, size + 5), orientation, "JPEG")
    return Case("file", f"JPEG, EXIF orientation {orientation}", read_picture(file)[None], file=file)


def _file(upright: np.ndarray, orientation: int, form: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    stored = np.ascontiguousarray(_STORED[orientation](upright))
    Image.fromarray(stored).save(buffer, form, exif=exif)
    return buffer.getvalue()
