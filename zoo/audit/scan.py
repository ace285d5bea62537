"""Reads all pictures of a dataset once, and keeps what the checks need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from zoo.audit.near_duplicates import MIN_DEVIATION, MIN_SIDE, THUMB_SIDE
from zoo.data.prefetch import decode
from zoo.data.types import Dataset, Split
from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images.bands import BAND_PIXELS
from zoo.images.values import ValueLog

BLANK_RANGE = 8  # grey levels: what JPEG makes of one flat colour


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Facts of all N pictures, numbered across the splits: train first, then val, then test.

    Attributes:
        splits: the splits of the dataset, by name.
        offsets: the number of each split's first picture.
        labels: int64 `[N]`.
        sizes: int64 `[N, 2]`, height and width in pixels; 0 if a picture is unreadable.
        grey, blank: bool `[N]`: without colour; of one flat colour.
        digests: of the decoded pixels; empty if unreadable.
        thumbs: grey copies, uint8 `[32, 32]`, of those that `zoo.audit.near_duplicates` may compare, by number.
        unreadable: number and reason, one sentence.
    """

    splits: dict[str, Split]
    offsets: dict[str, int]
    labels: np.ndarray
    sizes: np.ndarray
    grey: np.ndarray
    blank: np.ndarray
    digests: list[bytes]
    thumbs: dict[int, np.ndarray] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def readable(self) -> np.ndarray:
        """bool `[N]`"""
        readable: np.ndarray = self.sizes[:, 0] > 0
        return readable

    def numbers(self, split: str) -> np.ndarray:
        """The numbers of a split's pictures, int64."""
        return self.offsets[split] + np.arange(len(self.splits[split]))

    def split_of(self, number: int) -> str:
        return next(name for name in reversed(self.splits) if self.offsets[name] <= number)

    def name(self, number: int) -> str:
        """The path of a picture, or its split and index if it is not a file."""
        split = self.split_of(number)
        pictures = self.splits[split].pictures
        source = pictures.source(number - self.offsets[split])
        return source.name if source.path else f"{split} {source.name}"

    def value_findings(self) -> list[tuple[str, str]]:
        """Cause and remedy: about the pictures of more than 8 bits in all splits together."""
        parts = [split.pictures for split in self.splits.values()]
        return ValueLog.joined(pictures.log for pictures in parts).findings(parts[0].pixel_range)

    def read(self, number: int) -> np.ndarray:
        """The picture, uint8 `[H, W, 3]`, decoded again."""
        split = self.split_of(number)
        return self.splits[split].pictures[number - self.offsets[split]]


def scan(dataset: Dataset, advance: Callable[[int], None]) -> Scan:
    """Decodes every picture of a dataset once, and keeps about a kilobyte of each.

    Args:
        advance: called with 1 after each picture.
    """
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    splits = {name: split for name, split in parts.items() if split is not None}
    total = sum(len(split) for split in splits.values())
    found = Scan(
        splits=splits,
        offsets=dict(zip(splits, np.cumsum([0, *(len(split) for split in splits.values())]).tolist(), strict=False)),
        labels=np.concatenate([split.labels for split in splits.values()]),
        sizes=np.zeros((total, 2), dtype=np.int64),
        grey=np.zeros(total, dtype=bool),
        blank=np.zeros(total, dtype=bool),
        digests=[b""] * total,
    )
    for name, split in splits.items():
        for index, picture in decode(split.pictures):
            number = found.offsets[name] + index
            try:
                if isinstance(picture, UnreadablePictureError):
                    raise picture
                _note(found, number, picture)
            except MemoryError:
                found.unreadable[number] = TooLittleMemoryError(f"'{found.name(number)}'").cause
            except UnreadablePictureError as error:
                found.unreadable[number] = error.cause
            advance(1)
    return found


def _note(found: Scan, number: int, picture: np.ndarray) -> None:
    thumb = grey_copy(picture) if min(picture.shape[:2]) >= MIN_SIDE else None
    found.sizes[number] = picture.shape[:2]
    found.grey[number] = all((part[..., :1] == part[..., 1:]).all() for part in _parts(picture))
    lowest, highest = picture.min(axis=(0, 1)).astype(int), picture.max(axis=(0, 1)).astype(int)
    found.blank[number] = bool((highest - lowest <= BLANK_RANGE).all())
    # Equal bytes with another shape are a different picture.
    digest = hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16, person=b"%dx%d" % picture.shape[:2])
    found.digests[number] = digest.digest()
    if thumb is not None and thumb.std() >= MIN_DEVIATION:
        found.thumbs[number] = thumb


def grey_copy(picture: np.ndarray) -> np.ndarray:
    """The picture, uint8 `[H, W, 3]`, as grey levels of 32 x 32 equal areas, uint8."""
    from PIL import Image

    levels = np.empty(picture.shape[:2], np.uint8)
    for part, grey in zip(_parts(picture), _parts(levels), strict=True):
        grey[:] = np.asarray(Image.fromarray(part).convert("L"))
    image = Image.fromarray(levels)  # which shares the memory
    return np.asarray(image.resize((THUMB_SIDE, THUMB_SIDE), Image.Resampling.BOX))


def _parts(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yields a few rows of an array `[H, W, ...]` at a time: results for all rows may be larger than the picture."""
    rows = max(1, BAND_PIXELS // pixels.shape[1])
    return (pixels[top : top + rows] for top in range(0, len(pixels), rows))
