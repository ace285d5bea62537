from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images import as_picture, find_pictures, pillow_settings, read_picture
from zoo.images import read as images
from zoo.images.read import PostponedError

from ..refusals import refused


def encoded(image, suffix="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return buffer.getvalue()


def corners():
    """Height 3, width 5, every pixel of its own colour."""
    return np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)


def noise_jpeg(side=64):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG")


def test_rgb_is_exact_and_writable(tmp_path):
    pixels = corners()
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(pixels)))
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        picture = read_picture(source)
        assert picture.dtype == np.uint8 and picture.flags.writeable and picture.flags.c_contiguous
        np.testing.assert_array_equal(picture, pixels)
    np.testing.assert_array_equal(as_picture(str(path)), pixels)


@pytest.mark.parametrize("suffix", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation, suffix):
    turn = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif, **({"lossless": True} if suffix == "WEBP" else {})}
    # A camera that stores the upright picture turned by `turn` says so with `orientation`.
    data = encoded(Image.fromarray(np.ascontiguousarray(turn(corners()))), suffix, **options)
    np.testing.assert_array_equal(read_picture(data), corners())


def test_jpeg_with_orientation_and_broken_exif():
    upright = np.zeros((8, 24, 3), np.uint8)
    upright[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.rot90(upright).copy()), "JPEG", quality=100, exif=exif)
    picture = read_picture(data)
    assert picture.shape == (8, 24, 3) and picture[4, 2, 0] > 250 and picture[4, 20, 0] < 5
    broken = encoded(Image.fromarray(upright), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert read_picture(broken).shape == (8, 24, 3)


def test_grey_is_repeated():
    grey = np.arange(15, dtype=np.uint8).reshape(3, 5) * 17
    picture = read_picture(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(picture, np.stack([grey] * 3, axis=2))


def test_one_bit_is_black_and_white():
    bits = np.eye(4, dtype=bool)
    picture = read_picture(encoded(Image.fromarray(bits)))
    np.testing.assert_array_equal(picture[:, :, 0], np.eye(4, dtype=np.uint8) * 255)


@pytest.mark.parametrize("suffix", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(suffix):
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    picture = read_picture(encoded(Image.fromarray(values), suffix))
    np.testing.assert_array_equal(picture[0, :, 0], [0, 0, 1, 128, 255])
    assert picture.shape == (1, 5, 3)


def test_floats():
    unit = read_picture(encoded(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF"))
    more = np.array([[-9, 0.5, 300, np.nan, np.inf]], np.float32)
    clipped = read_picture(encoded(Image.fromarray(more), "TIFF"))
    assert unit[0, :, 0].tolist() == [0, 128, 255]
    assert clipped[0, :, 0].tolist() == [0, 128, 255, 0, 255]


def test_transparency_is_composited_on_white():
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    picture = read_picture(encoded(Image.fromarray(rgba)))
    assert picture[0, :2].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert abs(int(picture[0, 2, 0]) - 127) <= 1
    bands = [Image.fromarray(rgba[:, :, band].copy()) for band in (0, 3)]
    assert read_picture(encoded(Image.merge("LA", bands)))[0, :2].tolist() == [[200] * 3, [255] * 3]


def test_palettes():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read_picture(encoded(image))[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert read_picture(encoded(image, transparency=1))[0].tolist() == [[10, 20, 30], [255] * 3]
    alphas = read_picture(encoded(image, transparency=bytes([0, 255])))
    assert alphas[0].tolist() == [[255] * 3, [40, 50, 60]]


def test_colour_key_of_rgb_png():
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert read_picture(encoded(image, transparency=(1, 2, 3)))[0].tolist() == [[255] * 3, [4, 5, 6]]


def test_cmyk_jpeg():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    picture = read_picture(encoded(image, "JPEG", quality=100))
    assert picture.shape == (8, 8, 3) and np.abs(picture[0, 0].astype(int) - [255, 0, 0]).max() <= 2


@pytest.mark.parametrize("suffix", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if suffix == "WEBP" else {}
    data = encoded(frames[0], suffix, save_all=True, append_images=frames[1:], **options)
    assert read_picture(data)[0, 0].tolist() == [255, 0, 0]


def test_smallest_and_large():
    assert read_picture(encoded(Image.new("RGB", (1, 1), (7, 8, 9)))).tolist() == [[[7, 8, 9]]]
    assert read_picture(encoded(Image.new("L", (6000, 4000)))).shape == (4000, 6000, 3)


def test_jpeg_pixels_are_those_of_the_full_decode():
    data = noise_jpeg(256)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(read_picture(data), np.asarray(image))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
PNG = encoded(NOISE)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-picture"),
        (b"hello, this is text", "unknown-picture-format"),
        (noise_jpeg()[:-900], "truncated-picture"),
        (PNG[: len(PNG) // 2], "truncated-picture"),
        (PNG[:60] + b"\0" * 900 + PNG[960:], "damaged-picture"),
        (PNG[:8], "unknown-picture-format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unknown-picture-format"),
    ],
)
def test_unreadable(tmp_path, data, code):
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with refused(code, kind=UnreadablePictureError) as caught:
        read_picture(path)
    assert f"'{path}'" in caught.value.cause
    assert caught.value.cause.endswith(".") and caught.value.remedy
    with refused(code, "The picture", kind=UnreadablePictureError):
        read_picture(data)


def test_missing_file_and_folder(tmp_path):
    with refused("missing-picture", "gone.png'", kind=UnreadablePictureError):
        read_picture(tmp_path / "gone.png")
    with refused("unreadable-picture", f"'{tmp_path}'", "is a directory", kind=UnreadablePictureError):
        read_picture(tmp_path)


def test_truncation_anywhere_is_an_error_of_ours():
    for data in (noise_jpeg(16), PNG, encoded(Image.new("P", (40, 40)), "GIF"), encoded(NOISE, "WEBP")):
        for end in range(0, len(data) - 20, max(1, len(data) // 40)):
            with pytest.raises(UnreadablePictureError):
                read_picture(data[:end])


def test_decompression_bomb(monkeypatch):
    size = struct.pack(">II", 12_000, 12_000)
    header = b"IHDR" + size + bytes([1, 0, 0, 0, 0])
    bomb = PNG[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]
    with refused("too-many-pixels", "134,217,728 pixels", kind=UnreadablePictureError):
        read_picture(bomb)
    monkeypatch.setattr(images, "MAX_PIXELS", 99)
    with refused("too-many-pixels", "99 pixels", kind=UnreadablePictureError):
        read_picture(encoded(Image.new("L", (10, 10))))
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    assert read_picture(encoded(Image.new("L", (10, 10)))).shape == (10, 10, 3)


def test_a_limit_is_kept_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "upright_pixels", lambda *_: pytest.fail("it is decoded"))
    for data, size in ((encoded(Image.new("L", (20, 10))), "20 x 10"), (noise_jpeg(15)[:-100], "15 x 15")):
        with refused("too-many-pixels", f"{size} pixels", " 199 pixels", kind=UnreadablePictureError):
            read_picture(data, max_pixels=199)
    header = b"IHDR" + struct.pack(">II", 20_000, 10_000) + bytes([1, 0, 0, 0, 0])
    bomb = PNG[:8] + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]
    with refused("too-many-pixels", "200,000,000 pixels", " 199 pixels", kind=UnreadablePictureError):
        read_picture(bomb, max_pixels=199)


def test_who_admits_is_asked_between_header_and_pixels(monkeypatch):
    seen = []
    decode = images.upright_pixels
    monkeypatch.setattr(images, "upright_pixels", lambda *given: seen.append("decoded") or decode(*given))
    assert read_picture(encoded(Image.new("L", (20, 10))), admit=seen.append).shape == (10, 20, 3)
    assert seen == [200, "decoded"]

    def refuse(num_pixels):
        raise PostponedError

    with pytest.raises(PostponedError):
        read_picture(PNG, admit=refuse)
    assert seen == [200, "decoded"]


def test_too_little_memory_is_an_error_of_one_picture(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(images, "upright_pixels", fail)
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with refused("too-little-memory", "a.png'", kind=TooLittleMemoryError):
        read_picture(path)
    larger_than_any_memory = np.broadcast_to(np.uint8(0), (2**25, 2**25))  # itself one byte
    for picture in (NOISE, larger_than_any_memory):
        with refused("too-little-memory", kind=TooLittleMemoryError):
            as_picture(picture)


def test_warnings_stay_inside(monkeypatch):
    # Between Pillow's limit and twice that, it warns; the suite makes warnings errors.
    monkeypatch.setattr(pillow_settings, "_PINNED", ((Image, "MAX_IMAGE_PIXELS", 60),))
    before = list(warnings.filters)
    data = encoded(Image.new("L", (10, 10)))
    barrier = threading.Barrier(4)

    def decode(_):
        barrier.wait()
        return [read_picture(data).shape for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        shapes = [shape for part in pool.map(decode, range(4)) for shape in part]
    assert shapes == [(10, 10, 3)] * 200
    assert warnings.filters == before


def test_as_picture_of_arrays_and_images():
    grey = np.arange(15, dtype=np.uint8).reshape(3, 5)
    expected = np.stack([grey] * 3, axis=2)
    for array in (grey, grey[:, :, None], expected, grey.astype(np.uint16) << 8, grey / 255):
        np.testing.assert_array_equal(as_picture(array), expected)
    np.testing.assert_array_equal(as_picture(Image.fromarray(grey)), expected)
    assert as_picture(np.eye(2, dtype=bool))[:, :, 1].tolist() == [[255, 0], [0, 255]]
    assert as_picture(np.zeros((2, 2, 4), np.uint8)).tolist() == [[[255] * 3] * 2] * 2


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((3, 5, 7), np.uint8), "array-shape"),
        (np.zeros((0, 5, 3), np.uint8), "array-shape"),
        (np.zeros(4, np.uint8), "array-shape"),
        (np.full((4, 4), 200.0), "array-range"),
        (np.full((4, 4), np.nan), "array-range"),
        (np.zeros((4, 4), np.int64), "array-range"),
    ],
)
def test_as_picture_refuses(array, code):
    with refused(code, list(array.shape), array.dtype, kind=UnreadablePictureError):
        as_picture(array)


def test_as_picture_of_an_image_that_does_not_decode():
    with Image.open(io.BytesIO(noise_jpeg()[:-900])) as image, pytest.raises(UnreadablePictureError):
        as_picture(image)


def test_find_pictures(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == ["a.png", "b.JPG", "sub/c.webp"]


def test_importing_is_light():
    code = "import sys, zoo.images; print(sorted({'torch', 'torchvision', 'scipy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
