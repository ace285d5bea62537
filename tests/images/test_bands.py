"""Pixels are the same in bands as in one piece, and need little more memory than the result."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from zoo.images import bands
from zoo.images.bands import upright_pixels

WIDTH, ROWS = 7, 5  # of a band
HEIGHTS = (1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 1)


def in_one_piece(image: Image.Image) -> np.ndarray:
    """The result as it was computed before there were bands."""
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=1.0, neginf=0.0)
        pixels = np.rint((values * 255).clip(0, 255)).astype(np.uint8)
    elif image.mode.startswith("I"):
        pixels = (np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8)
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(layer, mask=layer.getchannel("A"))
        pixels = np.array(canvas)
    else:
        pixels = np.array(image.convert("RGB"))
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    turn = {
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }.get(image.getexif().get(0x0112))
    return pixels if turn is None else turn(pixels)


def of_mode(mode: str, height: int) -> Image.Image:
    rng = np.random.default_rng(height)
    rgba = Image.fromarray(rng.integers(0, 256, (height, WIDTH, 4), dtype=np.uint8), "RGBA")
    if mode in {"F", "F unit"}:
        values = rng.uniform(-0.2, 1, (height, WIDTH)).astype(np.float32)
        values[0, :3] = np.nan, -np.inf, 0.5
        values[-1, -1] = 1 if mode == "F unit" else 300
        return Image.fromarray(values)
    if mode.startswith("I;16"):
        order = ">u2" if mode.endswith("B") else "<u2"
        return Image.frombytes(mode, (WIDTH, height), rng.integers(0, 2**16, (height, WIDTH)).astype(order).tobytes())
    if mode == "I":
        return Image.fromarray(rng.integers(-300, 70_000, (height, WIDTH), dtype=np.int32))
    if mode in {"HSV", "LAB", "YCbCr"}:
        channels = rng.integers(0, 256, (height, WIDTH, 3), dtype=np.uint8)
        return Image.frombytes(mode, (WIDTH, height), channels.tobytes())
    plain, _, transparent = mode.partition(" ")
    image = rgba.convert("RGB").convert(plain) if plain != "PA" else rgba.convert("P").convert("PA")
    if plain in {"RGBA", "LA"}:
        image.putalpha(rgba.getchannel("A"))
    if plain == "RGBa":
        image = rgba.convert("RGBa")
    if transparent:
        image.info["transparency"] = {"number": 3, "bytes": bytes(range(0, 256, 2)), "colour": image.getpixel((0, 0))}[
            transparent
        ]
        image.palette = image.palette and image.palette.copy()
    return image


MODES = [
    *("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"),
    *("I", "I;16", "I;16L", "I;16B", "F", "F unit", "P number", "P bytes", "L colour", "RGB colour", "1 colour"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_bands_change_no_pixel(mode, monkeypatch):
    monkeypatch.setattr(bands, "BAND_PIXELS", WIDTH * ROWS + 3)
    for height in HEIGHTS:
        for orientation in (None, *range(1, 10)):
            image = of_mode(mode, height)
            if orientation:
                image.getexif()[0x0112] = orientation
            pixels = upright_pixels(image)
            assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
            np.testing.assert_array_equal(pixels, in_one_piece(image), err_msg=f"{height} rows, {orientation}")


@pytest.mark.parametrize("suffix", ["PNG", "TIFF", "WEBP", "GIF"])
def test_bands_change_no_pixel_of_a_file(suffix, monkeypatch):
    monkeypatch.setattr(bands, "BAND_PIXELS", WIDTH * ROWS)
    for height in HEIGHTS:
        for orientation in range(1, 9):
            buffer, exif = io.BytesIO(), Image.Exif()
            exif[0x0112] = orientation
            of_mode("RGBA", height).save(buffer, suffix, exif=exif, **({"lossless": True} if suffix == "WEBP" else {}))
            with Image.open(buffer) as image, Image.open(buffer) as same:
                same.load()
                np.testing.assert_array_equal(upright_pixels(image), in_one_piece(same))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "I;16", "F", "L"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_nothing_of_the_size_of_the_picture_lies_beside_the_result(mode, orientation):
    side = 2000
    image = Image.new(mode, (side, side))
    image.getexif()[0x0112] = orientation
    tracemalloc.start()
    try:
        pixels = upright_pixels(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pixels.nbytes == 3 * side**2
    assert peak < 1.4 * pixels.nbytes


def test_a_wide_picture_has_bands_of_one_row(monkeypatch):
    monkeypatch.setattr(bands, "BAND_PIXELS", 3)
    pixels = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    np.testing.assert_array_equal(upright_pixels(Image.fromarray(pixels)), pixels)
