"""Decodes picture files to RGB pixels. Training, `zoo predict` and the demo use the same decoder.

The result is always uint8 `[H, W, 3]`: turned upright by its EXIF orientation, transparency on white, and more than 8
bits scaled to 8 by the rule of `zoo.images.values`. Colour profiles are ignored, as in the training of the published
weights. Pillow's draft mode is not used, because its pixels depend on the requested size.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images.bands import TURNED, TURNS, Levels, orientation_of, upright_pixels
from zoo.images.bounded_file import BoundedFile, TooCostlyError, bounded
from zoo.images.pillow_settings import pinned
from zoo.images.plugins import MissingPackageError, jxl_size, plugin_format
from zoo.images.values import Observe, Range

# Formats recognised by their first bytes, decoded by libraries inside Pillow; EPS would start Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
# 134 megapixels are 403 MB as RGB; medium-format cameras deliver 102.
MAX_PIXELS = 2**27

# Decoders that need more memory per pixel: each of their pixels counts as this many.
COSTLY = {"WEBP": 2.3, "JPEG2000": 2.7, "AVIF": 1.4, "HEIF": 2, "JXL": 3}

T = TypeVar("T")
REPLACE = "Replace it, or leave it out."

# Called before a picture is decoded, with its number of pixels, or more where its decoder is `COSTLY`. It may wait, or
# raise `PostponedError`.
Admit = Callable[[int], None]


class Header(NamedTuple):
    """The size of the upright picture in pixels, and Pillow's name of the format."""

    width: int
    height: int
    format: str


class PostponedError(Exception):
    """Raised by `Admit`: the picture is not decoded now. `read_picture` does not catch it."""


def read_picture(
    source: Path | str | bytes | BinaryIO,
    *,
    max_pixels: int | None = None,
    admit: Admit | None = None,
    pixel_range: Range | None = None,
    observe: Observe | None = None,
) -> np.ndarray:
    """Decodes one picture. It needs 7 bytes of memory per pixel, of which 3 are the result.

    Args:
        source: a path, the bytes of a file, or a file open for reading.
        max_pixels: the largest allowed number of pixels, by default `MAX_PIXELS`. The header has the number of pixels,
            so a larger picture is refused before it is decoded.
        admit: called after the header is read and before the picture is decoded.
        pixel_range, observe: as in `zoo.images.bands.upright_pixels`.

    Returns:
        uint8 `[H, W, 3]`, red, green, blue; the first frame of an animation.

    Raises:
        UnreadablePictureError: the file is missing, empty, damaged or not a picture, it has more than `max_pixels`
            pixels, or there is not enough memory for it.
    """
    most = MAX_PIXELS if max_pixels is None else max_pixels

    def pixels(image: Image.Image, admitted: Admit | None) -> np.ndarray:
        return _pixels(image, most, admitted, pixel_range, observe)

    return _with_image(source, most, pixels, admit)


def read_header(source: Path | str | bytes | BinaryIO) -> Header:
    """Reads what a file says of its picture, without decoding it. Raises `UnreadablePictureError` as `read_picture`."""

    def header(image: Image.Image, _: Admit | None) -> Header:
        width, height = image.size
        _admit(width, height, image.format, MAX_PIXELS, None)
        is_turned = orientation_of(image) in TURNED
        return Header(*((height, width) if is_turned else (width, height)), image.format or "")

    return _with_image(source, MAX_PIXELS, header)


def _with_image(
    source: Path | str | bytes | BinaryIO,
    most: int,
    use: Callable[[Image.Image, Admit | None], T],
    admit: Admit | None = None,
) -> T:
    """The result of `use`, which takes the opened image, and `admit` if it was not called yet."""
    name = _name(source)
    try:
        with pinned(), _opened(source) as file:
            plugin = plugin_format(file)
            if plugin == "JXL":  # which is decoded as it is opened
                _admit(*jxl_size(file), plugin, most, admit)
                admit = None
            readable = bounded(file)
            with Image.open(cast(BinaryIO, readable), formats=(plugin,) if plugin else _formats()) as image:
                if isinstance(readable, BoundedFile):
                    readable.allow(image.width * image.height, image.format)
                return use(image, admit)
    except PostponedError:
        raise
    except MemoryError:
        raise TooLittleMemoryError(name) from None
    except Exception as error:  # decoders raise any exception for damaged files
        raise _unreadable(name, *_reason(error, source, most), _remedy(error)) from None


def as_picture(picture: Any, pixel_range: Range | None = None) -> np.ndarray:
    """Makes a picture from a path, bytes, an open file, a PIL image, or an array.

    Args:
        picture: what `read_picture` takes; a `PIL.Image.Image`; or pixels `[H, W]`, `[H, W, 1]`, `[H, W, 3]`
            or `[H, W, 4]` (composited on white) as uint8, uint16 (scaled), bool, or floats from 0 to 1. With a range
            `[H, W, 4]` must be uint8, and other numbers may have any values.
        pixel_range: the values that become 0 and 255, for all types but uint8 and bool.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        UnreadablePictureError: as `read_picture`, and for arrays of other shapes, types or values.
    """
    if isinstance(picture, str | os.PathLike):
        return read_picture(Path(picture), pixel_range=pixel_range)
    if isinstance(picture, bytes) or hasattr(picture, "read"):
        return read_picture(picture, pixel_range=pixel_range)
    if isinstance(picture, Image.Image):
        try:
            with pinned():
                _refuse_turned(picture)
                return _pixels(picture, MAX_PIXELS, None, pixel_range)
        except UnreadablePictureError:
            raise
        except MemoryError:
            raise TooLittleMemoryError("The picture") from None
        except Exception as error:  # as in read_picture: an image may still have to be decoded
            raise _unreadable("The picture", *_reason(error, picture, MAX_PIXELS), REPLACE) from None
    try:
        return _array_pixels(np.asarray(picture), pixel_range)
    except MemoryError:
        raise TooLittleMemoryError("The picture") from None


class _TooLargeError(Exception):
    pass


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(source: Path | str | bytes | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield BytesIO(source)
    elif isinstance(source, Path | str):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def _refuse_turned(image: Image.Image) -> None:
    """An image that was made from an opened one keeps its EXIF, whether it was turned on the way or not."""
    if not isinstance(image, ImageFile.ImageFile) and orientation_of(image) in TURNS:
        raise UnreadablePictureError(
            "The picture was changed after it was opened, and its EXIF still says that it must be turned.",
            "Pass PIL.ImageOps.exif_transpose(image), made before other changes, or the file.",
            code="turned-picture",
        )


def _pixels(
    image: Image.Image,
    max_pixels: int,
    admit: Admit | None = None,
    pixel_range: Range | None = None,
    observe: Observe | None = None,
) -> np.ndarray:
    _admit(*image.size, image.format, max_pixels, admit)
    return upright_pixels(image, pixel_range, observe)


def _admit(width: int, height: int, format_: str | None, max_pixels: int, admit: Admit | None) -> None:
    if width * height > max_pixels:
        raise _TooLargeError(f"{width:,} x {height:,}")
    if admit:
        admit(round(width * height * COSTLY.get(format_ or "", 1)))


def _array_pixels(array: np.ndarray, pixel_range: Range | None = None) -> np.ndarray:
    shape = f"shape {list(array.shape)} and type {array.dtype}"
    grey = array.ndim == 2  # noqa: PLR2004
    if 0 in array.shape or not (grey or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):  # noqa: PLR2004
        raise UnreadablePictureError(
            f"An array of {shape} is not a picture.",
            "Pass an array of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].",
            code="array-shape",
        )
    if pixel_range and array.dtype.kind in "uif" and array.dtype != np.uint8 and (grey or array.shape[2] != 4):  # noqa: PLR2004
        array = Levels(pixel_range)(array)
    elif array.dtype == np.uint16 and not pixel_range:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating) and not pixel_range and array.min() >= 0 and array.max() <= 1:
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise UnreadablePictureError(
            f"An array of {shape} has an unknown range of values.",
            "Pass uint8, uint16, bool, or floats from 0 to 1; or other numbers [H, W] or [H, W, 3] with a pixel range.",
            code="array-range",
        )
    if grey or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.shape[2] == 4:  # noqa: PLR2004
        return upright_pixels(Image.fromarray(np.ascontiguousarray(array), "RGBA"))
    return np.array(array)


def _name(source: Path | str | bytes | BinaryIO) -> str:
    if isinstance(source, Path | str):
        return f"'{source}'"
    name = getattr(source, "name", None)
    return f"'{name}'" if isinstance(name, str) else "The picture"


def _unreadable(name: str, code: str, reason: str, remedy: str) -> UnreadablePictureError:
    return UnreadablePictureError(f"{name} cannot be read: {reason}.", remedy, code=code)


def _remedy(error: Exception) -> str:
    if isinstance(error, MissingPackageError):
        return f"Run: pip install {error.package}"
    return "Check its name, or leave it out." if isinstance(error, FileNotFoundError) else REPLACE


def _reason(error: Exception, source: object, max_pixels: int) -> tuple[str, str]:
    """The code of the error, and the reason as a clause."""
    match error:
        case _ if _is_empty(source):
            found = "empty-picture", "it is empty"
        case UnidentifiedImageError():
            found = "unknown-picture-format", f"it is not a picture of a known format ({', '.join(FORMATS)})"
        case FileNotFoundError(strerror=str(text)):
            found = "missing-picture", text.lower()
        case OSError(strerror=str(text)):
            found = "unreadable-picture", text.lower()
        case _TooLargeError() | Image.DecompressionBombError():
            # Pillow refuses the largest itself, and its message begins with their number of pixels.
            size = str(error) if isinstance(error, _TooLargeError) else f"{int(re.findall('[0-9]+', str(error))[0]):,}"
            found = "too-many-pixels", f"it has {size} pixels, and the limit is {max_pixels:,} pixels"
        case MissingPackageError():
            found = "missing-picture-package", str(error)
        case TooCostlyError():
            found = "costly-picture", str(error)
        case _ if "truncated" in str(error).lower():
            found = "truncated-picture", "it is truncated"
        case _:
            found = "damaged-picture", f"it is damaged ({str(error).strip().rstrip('.')})"
    return found


def _is_empty(source: object) -> bool:
    if not isinstance(source, Path | str):
        return source == b""
    try:
        return Path(source).is_file() and Path(source).stat().st_size == 0
    except OSError:  # the name is too long
        return False
