"""Pictures whose right half is bright, in every way that a file can hold them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import Base

ORIENTATION = Base.Orientation
FORMATS = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "BMP": "bmp",
    "WEBP": "webp",
    "TIFF": "tif",
    "PPM": "ppm",
    "AVIF": "avif",
    "JPEG2000": "jp2",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, and what made it. `shape` is that of the decoded picture."""

    what: str
    suffix: str
    data: bytes
    shape: tuple[int, int]


def drawing(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    """Dark on the left, bright on the right, with grain that no other drawing has."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 30, (height, width, 3), dtype=np.uint8)
    pixels[:, (width + 1) // 2 :] += 200
    return Image.fromarray(pixels)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    grey = np.asarray(image.convert("L"))
    match mode:
        case "I;16":
            return Image.fromarray(grey.astype(np.uint16) * 257)
        case "I":
            return Image.fromarray(grey.astype(np.int32) * 257)
        case "F":
            return Image.fromarray(grey.astype(np.float32) / 255)
        case "1":
            return image.convert("1", dither=Image.Dither.NONE)
        case "P":
            return image.quantize(64)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _modes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    plain: dict[str, str] = {
        "PNG": "1 L LA P RGB RGBA I;16",
        "JPEG": "L RGB CMYK",
        "GIF": "1 L P RGB",
        "BMP": "1 L P RGB RGBA",
        "WEBP": "L RGB RGBA",
        "PPM": "1 L RGB I;16",
        "AVIF": "L RGB RGBA",
        "JPEG2000": "L LA RGB RGBA I;16",
        "TIFF": "1 L LA P RGB RGBA CMYK LAB I;16 I F",
    }
    for kind, modes in plain.items():
        for mode in modes.split():
            yield kind, mode, {}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "I;16"):
            yield "TIFF", mode, {"compression": compression}
    yield "TIFF", "1", {"compression": "group4"}
    yield "TIFF", "1", {"compression": "group3"}
    yield "TIFF", "L", {"compression": "jpeg"}
    yield "TIFF", "RGB", {"compression": "jpeg"}
    yield "JPEG", "RGB", {"progressive": True}
    yield "JPEG", "RGB", {"subsampling": 0, "quality": 100}
    yield "JPEG", "L", {"quality": 5}
    yield "PNG", "RGB", {"optimize": True}
    yield "PNG", "P", {"transparency": 0}
    yield "WEBP", "RGB", {"lossless": True}
    yield "WEBP", "RGBA", {"lossless": True}
    yield "GIF", "P", {"interlace": 1}
    yield "JPEG2000", "RGB", {"irreversible": True}


def all_modes() -> Iterator[Encoded]:
    """Modes, compressions and other settings of each format."""
    for seed, (kind, mode, options) in enumerate(_modes()):
        extra = "-".join(f"{name}-{value}" for name, value in options.items())
        what = f"mode-{kind}-{mode.replace(';', '')}{'-' if extra else ''}{extra}"
        yield Encoded(what, FORMATS[kind], encoded(in_mode(drawing(seed), mode), kind, **options), (16, 24))


def all_orientations() -> Iterator[Encoded]:
    """EXIF orientations that turn the picture upright, and values that mean nothing."""
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
            image = drawing(1000 + orientation)
            if 2 <= orientation <= 8:
                image = image.transpose(_undone(orientation))
            exif = Image.Exif()
            exif[ORIENTATION] = orientation
            yield Encoded(f"turned-{kind}-{orientation}", FORMATS[kind], encoded(image, kind, exif=exif), (16, 24))


def _undone(orientation: int) -> Image.Transpose:
    """What makes of an upright picture one that this orientation turns upright."""
    upright = drawing(0, 5, 3)
    for method in Image.Transpose:
        turned = upright.transpose(method)
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        file = io.BytesIO(encoded(turned, "PNG", exif=exif))
        with Image.open(file) as image:
            back = ImageOps.exif_transpose(image)
            if back.size == upright.size and back.tobytes() == upright.tobytes():
                return method
    raise AssertionError(orientation)


def all_sizes() -> Iterator[Encoded]:
    sizes = [(2, 1), (2, 2), (3, 3), (2, 3000), (3000, 2), (257, 129), (1999, 1)]
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF"):
        for width, height in sizes:
            data = encoded(drawing(2000 + width, width, height), kind)
            yield Encoded(f"size-{kind}-{width}x{height}", FORMATS[kind], data, (height, width))


def all_animations() -> Iterator[Encoded]:
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        frames = [drawing(3000).convert("P" if kind == "GIF" else "RGB"), ImageOps.invert(drawing(3001))]
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Encoded(f"frames-{kind}", FORMATS[kind], data, (16, 24))


def plain(seed: int) -> Iterator[Encoded]:
    """One file of each format."""
    for number, (kind, suffix) in enumerate(FORMATS.items()):
        data = encoded(drawing(seed + number, 48, 32), kind)
        yield Encoded(kind, suffix, data, (32, 48))
