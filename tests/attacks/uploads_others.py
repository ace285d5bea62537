"""GIF, WebP, AVIF, JPEG 2000, BMP and PPM."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from .attack import AT_THE_LIMIT, Upload, memory
from .uploads_jpeg import EXIF, saved, tables

HEIGHT, WIDTH = AT_THE_LIMIT
GREY = Image.new("L", (16, 16))


def gif(
    width: int = 4, height: int = 4, *, before: bytes = b"", frame: tuple[int, int] = (4, 4), count: int = 1
) -> bytes:
    """Frames of one block of LZW each."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    one = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + saved(Image.new("P", (4, 4)), "GIF").split(b",", 1)[1][9:-1]
    return head + before + one * count + b";"


def comments(count: int) -> bytes:
    """One comment in so many blocks: Pillow copies what it has for each."""
    return b"!\xfe" + b"\xff" + bytes(255) + (b"\xff" + bytes(255)) * count + b"\0"


def webp(picture: Image.Image = GREY, **options) -> bytes:
    return saved(picture.convert("RGB"), "WEBP", **options)


def large_webp(width: int, height: int) -> bytes:
    """An animation whose canvas is larger than its frame."""
    data = bytearray(webp(save_all=True, append_images=[Image.new("RGB", (16, 16), "red")]))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def avif(picture: Image.Image = GREY, **options) -> bytes:
    return saved(picture.convert("RGB"), "AVIF", speed=10, **options)


def large_avif(width: int, height: int) -> bytes:
    """The property ispe claims another size than the picture has."""
    data = avif()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def jpeg2000(picture: Image.Image = GREY, **options) -> bytes:
    return saved(picture, "JPEG2000", no_jp2=True, **options)


def codestream(width: int, height: int, tile: tuple[int, int], components: int = 1) -> bytes:
    """The header of a picture of that size (SIZ), with the rest of a tiny one."""
    data = jpeg2000()
    end = data.index(b"\xffR")
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, *tile, 0, 0, components) + b"\7\1\1" * components
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + data[end:]


def bmp(
    width: int = 4, height: int = 4, *, bits: int = 8, compression: int = 0, data: bytes = bytes(64), colours: int = 256
) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, colours, 0)
    palette = bytes(4 * min(colours, 256)) if bits <= 8 else b""
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def os2(width: int, height: int) -> bytes:
    """The header of 1988, of 12 bytes."""
    return b"BM" + struct.pack("<IHHI", 100, 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + bytes(64)


OTHERS = [
    Upload("gif-canvas-of-4-gigapixels", lambda: gif(65_535, 65_535), "too-many-pixels"),
    Upload("gif-frame-larger-than-its-canvas", lambda: gif(1, 1, frame=(65_535, 65_535)), "too-many-pixels"),
    Upload(
        "gif-frame-at-the-limit", lambda: gif(1, 1, frame=(WIDTH, HEIGHT)), "truncated-picture", memory(AT_THE_LIMIT, 2)
    ),
    Upload("gif-10,000-frames", lambda: gif(count=10_000), (4, 4)),
    Upload(
        "gif-transparent",
        lambda: gif(WIDTH, HEIGHT, before=b"!\xf9\4\1\0\0\0\0"),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        4,
    ),
    Upload("gif-comment-in-40,000-blocks", lambda: gif(before=comments(40_000)), "costly-picture: too many parts"),
    Upload("gif-200,000-comments", lambda: gif(before=b"!\xfe\1x\0" * 200_000), "costly-picture: too many parts"),
    Upload("gif-8-MB-between-the-blocks", lambda: gif(before=bytes(8 * 2**20)), "costly-picture: too many parts"),
    Upload("gif-frame-of-no-size", lambda: gif(0, 0, frame=(0, 0)), "unknown-picture-format"),
    Upload("gif-without-a-frame", lambda: gif(count=0), "unknown-picture-format"),
    Upload("webp-canvas-of-268-megapixels", lambda: large_webp(16_384, 16_384), "too-many-pixels"),
    # libwebp keeps two canvases of 4 bytes a pixel, and Pillow copies one of them: 16 bytes a pixel with the result.
    Upload("webp-canvas-at-the-limit", lambda: large_webp(WIDTH, HEIGHT), AT_THE_LIMIT, memory(AT_THE_LIMIT, 16), 4),
    Upload("webp-exif-overlaps", lambda: webp(exif=EXIF + tables(2000, 2**20)), (16, 16)),
    Upload("webp-cut", lambda: webp()[:-9], "damaged-picture"),
    Upload("avif-claims-4-gigapixels", lambda: large_avif(65_535, 65_535), "unknown-picture-format"),
    Upload("avif-claims-the-limit", lambda: large_avif(WIDTH, HEIGHT), AT_THE_LIMIT, memory(AT_THE_LIMIT), 4),
    Upload("avif-exif-overlaps", lambda: avif(exif=EXIF + tables(400, 2**20)), "costly-picture: overlap"),
    Upload(
        "avif-with-transparency",
        lambda: saved(Image.new("RGBA", (2000, 2000)), "AVIF", speed=10),
        (2000, 2000),
        memory((2000, 2000)),
    ),
    Upload("jpeg2000-claims-2^62-pixels", lambda: codestream(2**31, 2**31, (2**31, 2**31)), "too-many-pixels"),
    Upload("jpeg2000-tile-larger-than-the-picture", lambda: codestream(16, 16, (2**31 - 1, 2**31 - 1)), (16, 16)),
    Upload(
        "jpeg2000-40-million-tiles",
        lambda: codestream(WIDTH, HEIGHT, (1, 1)),
        "damaged-picture",
        memory(AT_THE_LIMIT, 1),
    ),
    Upload("jpeg2000-16384-components", lambda: codestream(16, 16, (16, 16), 16_384), "unknown-picture-format"),
    Upload("jpeg2000-no-tiles", lambda: codestream(16, 16, (0, 0)), "damaged-picture"),
    Upload(
        "jpeg2000-of-4-megapixels", lambda: jpeg2000(Image.new("RGB", (2000, 2000))), (2000, 2000), memory((2000, 2000))
    ),
    Upload(
        "jpeg2000-claims-the-limit",
        lambda: codestream(WIDTH, HEIGHT, (WIDTH, HEIGHT)),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        5,
    ),
    Upload("bmp-claims-4-exapixels", lambda: bmp(2**31 - 1, 2**31 - 1), "too-many-pixels"),
    Upload("bmp-height-below-zero", lambda: bmp(4, -4), (4, 4)),
    Upload("bmp-lowest-height", lambda: bmp(4, -(2**31)), "too-many-pixels"),
    Upload("bmp-width-below-zero", lambda: bmp(-4, 4), "too-many-pixels"),
    # Pillow decodes these in Python: a microsecond for a pixel.
    Upload(
        "bmp-a-million-runs-of-one-pixel",
        lambda: bmp(1000, 1000, compression=1, data=(b"\1\7" * 1000 + b"\0\0") * 1000),
        (1000, 1000),
        memory((1000, 1000)),
        5,
    ),
    Upload(
        "bmp-runs-that-end-at-once",
        lambda: bmp(WIDTH, HEIGHT, compression=1, data=b"\0\1"),
        "damaged-picture",
        memory(AT_THE_LIMIT),
        4,
    ),
    Upload(
        "bmp-runs-that-jump",
        lambda: bmp(WIDTH, HEIGHT, compression=1, data=b"\0\2\xff\xff" * 1000),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        4,
    ),
    Upload("bmp-4-billion-colours", lambda: bmp(colours=2**32 - 1), "damaged-picture"),
    Upload("bmp-of-1988", lambda: os2(4, 4), (4, 4)),
    Upload("bmp-of-1988-at-65535", lambda: os2(65_535, 65_535), "too-many-pixels"),
    Upload(
        "ppm-a-million-tokens-of-text",
        lambda: b"P2 1000 1000 255 " + b"0 " * 10**6,
        (1000, 1000),
        memory((1000, 1000)),
        5,
    ),
    Upload("ppm-one-endless-token", lambda: b"P2 4 4 255 " + b"0" * 2**24, "damaged-picture"),
    Upload("ppm-endless-comment-in-the-pixels", lambda: b"P2 4 4 255 #" + b"0" * 2**24, "damaged-picture"),
    Upload("ppm-endless-comment-in-the-header", lambda: b"P6 #" + b"x" * 2**23, "costly-picture: too many parts"),
    Upload("ppm-endless-number-in-the-header", lambda: b"P6 " + b"1" * 2**23, "damaged-picture"),
    Upload("ppm-odd-maximum", lambda: b"P5 1000 1000 254 " + bytes(10**6), (1000, 1000), memory((1000, 1000)), 5),
    Upload("ppm-maximum-65535", lambda: b"P5 4 4 65535 " + bytes(32), (4, 4)),
    Upload("ppm-maximum-0", lambda: b"P5 4 4 0 " + bytes(32), "damaged-picture"),
    Upload("ppm-claims-10^18-pixels", lambda: b"P4 999999999 999999999 ", "too-many-pixels"),
    Upload("pam-floats", lambda: b"Pf 2 1 -1.0 " + np.array([np.nan, np.inf], "<f4").tobytes(), (1, 2)),
]
