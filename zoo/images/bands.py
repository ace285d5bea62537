"""From a Pillow image to upright RGB pixels, band by band. It needs little more memory than the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from zoo.images.bounded_file import check_metadata
from zoo.images.values import (
    SIXTEEN_BITS,
    Observe,
    Range,
    Values,
    has_ignored_band,
    has_signed_bytes,
    has_unknown_band,
    is_sixteen_bit_colour,
    is_white_zero,
    range_of,
)

# A band of RGB and its copies stay in a core's cache; a picture of 500 x 375 is one band.
BAND_PIXELS = 2**18
# What decoding needs for each pixel: 4 bytes of Pillow's image, 3 of the result.
BYTES_PER_PIXEL = 7

# Views of the upright picture in the orientation of the file.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}
TURNED = frozenset({5, 6, 7, 8})


def upright_pixels(image: Image.Image, pixel_range: Range | None = None, observe: Observe | None = None) -> np.ndarray:
    """Decodes an image: uint8 `[H, W, 3]`, turned as its EXIF orientation says, transparency on white.

    Args:
        pixel_range: of values that become 0..255, for more than 8 bits. None: `zoo.images.values` has the rule.
        observe: told what was found in a picture of more than 8 bits, and what of a picture was ignored.
    """
    is_coarse = is_sixteen_bit_colour(image)
    # Allocated before Pillow decodes, so that missing memory shows at once and not after seconds.
    memory = np.empty(3 * image.width * image.height, np.uint8)
    image.load()
    width, height = image.size
    orientation = orientation_of(image)
    pixels = memory.reshape((width, height, 3) if orientation in TURNED else (height, width, 3))
    stored = TURNS[orientation](pixels) if orientation in TURNS else pixels
    levels = Levels(range_of(image, pixel_range), inverted=is_white_zero(image)) if _is_deep(image) else None
    convert = levels or _conversion(image)
    rows = _rows(width)
    for top in range(0, height, rows):
        _fill(stored[top : top + rows], convert(image if rows >= height else _band(image, top, rows)))
    if observe:
        _tell(observe, image, levels, is_coarse=is_coarse, given=pixel_range is not None)
    return pixels


def _tell(observe: Observe, image: Image.Image, levels: Levels | None, *, is_coarse: bool, given: bool) -> None:
    if levels:
        observe(levels.found())
    if has_ignored_band(image):
        observe("fourth-band")
    if is_coarse and given:
        observe("sixteen-bit-colour")
    elif is_coarse:
        least, most = np.array(image.getextrema())[:3].T.tolist()
        observe(Values(*SIXTEEN_BITS, 256.0 * min(least), 256.0 * max(most) + 255))


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


def _is_deep(image: Image.Image) -> bool:
    """Whether its values have more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _conversion(image: Image.Image) -> Callable[[Image.Image], np.ndarray]:
    """Returns a function from a band of the image to uint8 `[h, W, 3]` or `[h, W]`."""
    if has_unknown_band(image):
        return _without_fourth
    if has_signed_bytes(image):
        return _from_signed_bytes
    if image.has_transparency_data:
        return _on_white
    return np.asarray if image.mode in {"RGB", "L"} else _rgb


def _from_signed_bytes(band: Image.Image) -> np.ndarray:
    return np.asarray(band) ^ np.uint8(128)


def _without_fourth(band: Image.Image) -> np.ndarray:
    return np.asarray(band)[:, :, :3]


def _rgb(band: Image.Image) -> np.ndarray:
    return np.asarray(band.convert("RGB"))


def _on_white(band: Image.Image) -> np.ndarray:
    layer = band.convert("RGBA")
    canvas = Image.new("RGB", band.size, "white")
    canvas.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(canvas)


class Levels:
    """Turns values of more than 8 bits into grey levels, and notes which values there are.

    Args:
        pixel_range: the values that become 0 and 255. Others become the nearer of the two.
        inverted: whether the lowest value is white.
    """

    def __init__(self, pixel_range: Range, *, inverted: bool = False) -> None:
        self.low, self.high = pixel_range
        self.inverted = inverted
        self.least, self.most, self.finite = math.inf, -math.inf, True

    def __call__(self, band: Image.Image | np.ndarray) -> np.ndarray:
        """Takes a band of any shape, returns uint8 of the same shape."""
        values = np.asarray(band)
        levels = self._of_floats(values) if values.dtype.kind == "f" else self._of_integers(values)
        return 255 - levels if self.inverted else levels

    def found(self) -> Values:
        """The values of all bands so far."""
        none = self.least > self.most  # all are infinite or undefined
        least, most = (self.low, self.low) if none else (self.least, self.most)
        return Values(self.low, self.high, least, most, self.finite)

    def _note(self, values: np.ndarray) -> None:
        if values.size:
            self.least = min(self.least, float(values.min()))
            self.most = max(self.most, float(values.max()))

    def _of_integers(self, values: np.ndarray) -> np.ndarray:
        # Each level stands for as many values as any other: of 16 bits, these are the upper 8.
        self._note(values)
        if (self.low, self.high) == SIXTEEN_BITS:
            upper: np.ndarray = (values.clip(0, 65535) >> 8).astype(np.uint8)
            return upper
        bins = (values.clip(self.low, self.high) - self.low) * (256 / (self.high + 1 - self.low))
        return np.minimum(bins, 255).astype(np.uint8)

    def _of_floats(self, values: np.ndarray) -> np.ndarray:
        finite = np.isfinite(values)
        if not finite.all():
            self.finite = False
            self._note(values[finite])
            values = np.nan_to_num(values, nan=self.low, posinf=self.high, neginf=self.low)
        else:
            self._note(values)
        levels: np.ndarray = np.rint((values.clip(self.low, self.high) - self.low) * (255 / (self.high - self.low)))
        return levels.astype(np.uint8)


def orientation_of(image: Image.Image) -> Any:
    """As its EXIF says: a key of `TURNS`, 1, anything, or None."""
    try:
        check_metadata(image.info)
        # After load(): Pillow turns TIFF files itself, and a PNG may keep its EXIF behind the pixels.
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # metadata that cannot be read does not turn the picture
        return None
