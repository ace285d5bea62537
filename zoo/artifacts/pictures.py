"""The pictures that a caller gives to a predictor, decoded ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from PIL import Image

from zoo.data.prefetch import decode_ahead
from zoo.data.reading import Source
from zoo.errors import UnreadablePictureError, UsageError
from zoo.images import as_picture, read_picture
from zoo.images.read import Admit
from zoo.images.values import Range

Picture = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray
_FILE = (str, os.PathLike, bytes)
_File = str | os.PathLike[str] | bytes


def numbered_pictures(
    pictures: Iterable[Picture], pixel_range: Range | None, failed: Callable[[int, UnreadablePictureError], None]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields pictures uint8 `[H, W, 3]` with their numbers, in order; threads decode files ahead.

    Args:
        failed: called with the number of a picture that cannot be decoded, and with its error.
    """
    batch = isinstance(pictures, np.ndarray) and pictures.ndim == 4  # noqa: PLR2004
    if isinstance(pictures, str | bytes | os.PathLike | np.ndarray | Image.Image) and not batch:
        remedy = "Put the picture in a list: predict([picture])."
        raise UsageError("predict() takes a list of pictures.", remedy, code="not-a-list")
    with closing(decode_ahead([_source(picture, pixel_range)] for picture in pictures)) as found:
        for index, picture in enumerate(found):
            if isinstance(picture, UnreadablePictureError):
                failed(index, picture)
            else:
                yield index, picture


def raise_with_index(index: int, error: UnreadablePictureError) -> NoReturn:
    """Raises the error of the picture with this number."""
    error.index = index
    raise error


def _source(picture: Picture, pixel_range: Range | None) -> Source:
    if isinstance(picture, _FILE):
        return partial(_read_file, picture, pixel_range)
    try:  # two threads must not read one open file or one PIL picture
        return as_picture(picture, pixel_range)
    except UnreadablePictureError as error:
        return partial(_raise, error)


def _read_file(file: _File, pixel_range: Range | None, admit: Admit) -> np.ndarray:
    return read_picture(file if isinstance(file, bytes) else Path(file), admit=admit, pixel_range=pixel_range)


def _raise(error: UnreadablePictureError, _: Admit) -> NoReturn:
    raise error
