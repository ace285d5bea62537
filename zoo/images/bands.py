"""From a Pillow image to upright RGB pixels, band by band. It needs little more memory than the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from zoo.images.bounded_file import check_metadata

# A band of RGB and its copies stay in a core's cache; a picture of 500 x 375 is one band.
BAND_PIXELS = 2**18
# What decoding needs for each pixel: 4 bytes of Pillow's image, 3 of the result.
BYTES_PER_PIXEL = 7

# Views of the upright picture in the orientation of the file.
_AS_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}
_TURNED = frozenset({5, 6, 7, 8})


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Decodes an image: uint8 `[H, W, 3]`, turned upright by its EXIF orientation, transparency on white."""
    # Allocated before Pillow decodes, so that missing memory shows at once and not after seconds.
    memory = np.empty(3 * image.width * image.height, np.uint8)
    image.load()
    width, height = image.size
    orientation = _orientation(image)
    pixels = memory.reshape((width, height, 3) if orientation in _TURNED else (height, width, 3))
    stored = _AS_STORED[orientation](pixels) if orientation in _AS_STORED else pixels
    convert = _conversion(image)
    rows = _rows(width)
    for top in range(0, height, rows):
        _fill(stored[top : top + rows], convert(image if rows >= height else _band(image, top, rows)))
    return pixels


def _rows(width: int) -> int:
    """The height of a band."""
    return max(1, BAND_PIXELS // width)


def _band(image: Image.Image, top: int, rows: int) -> Image.Image:
    return image.crop((0, top, image.width, min(top + rows, image.height)))


def _fill(target: np.ndarray, pixels: np.ndarray) -> None:
    """Writes `[h, W, 3]` or `[h, W]` into `[h, W, 3]`."""
    if pixels.ndim == 3:  # noqa: PLR2004
        target[:] = pixels
    else:
        for channel in range(3):  # an eighth of the time of one assignment with broadcasting
            target[:, :, channel] = pixels


def _conversion(image: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """Returns a function from a band of the image to uint8 `[h, W, 3]` or `[h, W]`."""
    mode = image.mode
    if mode == "F":
        return _from_float(image)
    if mode.startswith("I"):
        return _from_integers
    if image.has_transparency_data:
        return _on_white
    return np.asarray if mode in {"RGB", "L"} else _rgb


def _rgb(band: Image.Image) -> np.ndarray:
    return np.asarray(band.convert("RGB"))


def _on_white(band: Image.Image) -> np.ndarray:
    layer = band.convert("RGBA")
    canvas = Image.new("RGB", band.size, "white")
    canvas.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(canvas)


def _from_integers(band: Image.Image) -> np.ndarray:
    # Files of 16 bits arrive as modes I;16, I;16B, and (PGM) as I with the same range of values.
    levels: np.ndarray = (np.asarray(band).clip(0, 65535) >> 8).astype(np.uint8)
    return levels


def _from_float(image: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """Floats in files have no fixed range. Here it is 0..1 if no value is above 1, otherwise 0..255."""
    rows = _rows(image.width)
    highest = max(_finite(_band(image, top, rows)).max(initial=0.0) for top in range(0, image.height, rows))
    scale = 255.0 if highest <= 1.0 else 1.0

    def convert(band: Image.Image) -> np.ndarray:
        levels: np.ndarray = np.rint((_finite(band) * scale).clip(0, 255))
        return levels.astype(np.uint8)

    return convert


def _finite(band: Image.Image) -> np.ndarray:
    values: np.ndarray = np.nan_to_num(np.asarray(band), nan=0.0, posinf=255.0, neginf=0.0)
    return values


def _orientation(image: Image.Image) -> Any:
    try:
        check_metadata(image.info)
        # After load(): Pillow turns TIFF files itself, and a PNG may keep its EXIF behind the pixels.
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # metadata that cannot be read does not turn the picture
        return None
