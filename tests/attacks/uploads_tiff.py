"""TIFF: tables of tags that lead anywhere, tiles and strips larger than the picture, rare kinds of pixels."""

from __future__ import annotations

import struct

from .attack import AT_THE_LIMIT, Upload, memory
from .uploads_jpeg import jpeg
from .uploads_png import zeros

HEIGHT, WIDTH = AT_THE_LIMIT
BYTE, SHORT, LONG, RATIONAL = 1, 3, 4, 5
LONG8 = 16
SIZES = {BYTE: 1, SHORT: 2, LONG: 4, RATIONAL: 8, LONG8: 8}
RAW, OLD_JPEG, LZW, DEFLATE, NEW_JPEG, PACKBITS = 1, 6, 5, 8, 7, 32_773
GREY, RGB, PALETTE, CMYK, YCBCR, LAB = 1, 2, 3, 5, 6, 8

Tag = tuple[int, int, bytes]


def tag(number: int, kind: int, *values: int) -> Tag:
    return number, kind, b"".join(value.to_bytes(SIZES[kind], "little") for value in values)


def tiff(*tags: Tag, pixels: bytes = b"", circular: bool = False, big: bool = False) -> bytes:
    """Header, pixels at 16, values, and a table of tags, which is the next table as well where it is circular."""
    size, place = (8, "Q") if big else (4, "I")
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI8x", b"II", 42, 0)
    body, entries = bytearray(head + pixels), b""
    for number, kind, value in sorted(tags):
        if len(value) > size:
            where = struct.pack(f"<{place}", len(body))
            body += value
        else:
            where = value.ljust(size, b"\0")
        entries += struct.pack(f"<HH{place}", number, kind, len(value) // SIZES[kind]) + where
    start = len(body)
    body += struct.pack("<Q" if big else "<H", len(tags)) + entries + struct.pack(f"<{place}", start * circular)
    struct.pack_into(f"<{place}", body, 8 if big else 4, start)
    return bytes(body)


def basic(width: int = 4, height: int = 4, bits: int = 8, photometric: int = GREY, compression: int = RAW) -> list[Tag]:
    channels = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}.get(photometric, 1)
    return [
        tag(256, LONG, width),
        tag(257, LONG, height),
        tag(258, SHORT, *[bits] * channels),
        tag(259, SHORT, compression),
        tag(262, SHORT, photometric),
        tag(277, SHORT, channels),
    ]


def strip(length: int, rows: int = 4) -> list[Tag]:
    """All pixels in one strip at 16."""
    return [tag(273, LONG, 16), tag(278, LONG, rows), tag(279, LONG, length)]


def raw(
    *more: Tag, width: int = 4, height: int = 4, bits: int = 8, photometric: int = GREY, pixels: bytes | None = None
) -> bytes:
    pixels = bytes(width * height * bits // 8 * 4) if pixels is None else pixels
    return tiff(*basic(width, height, bits, photometric), *strip(len(pixels), height), *more, pixels=pixels)


def packed(width: int, height: int, data: bytes, *more: Tag, compression: int = DEFLATE, **options) -> bytes:
    """One compressed strip."""
    tags = basic(width, height, compression=compression, **options)
    return tiff(*tags, *strip(len(data), height), *more, pixels=data)


def tiled(width: int, height: int, tile: tuple[int, int], compression: int = DEFLATE) -> bytes:
    """One tile, larger than the picture."""
    data = zeros(tile[0] * tile[1])
    places = [tag(322, LONG, tile[0]), tag(323, LONG, tile[1]), tag(324, LONG, 16), tag(325, LONG, len(data))]
    return tiff(*basic(width, height, compression=compression), *places, pixels=data)


def strips(count: int) -> bytes:
    """A tiny picture that lists so many strips, each place one byte."""
    return tiff(*basic(), (273, BYTE, b"\x10" * count), tag(278, LONG, 1), pixels=bytes(64))


def overlapping(count: int, length: int) -> bytes:
    """Tags without meaning that all have the same bytes for their value."""
    data = bytearray(raw(*((40_000 + i, BYTE, b"12345") for i in range(count)), pixels=bytes(length)))
    for at in range(len(data) - 4 - 12 * count, len(data) - 4, 12):
        struct.pack_into("<II", data, at + 4, length, 16)
    return bytes(data)


def pages(count: int) -> bytes:
    """So many tables, each after the other."""
    data = bytearray(raw())
    (start,) = struct.unpack_from("<I", data, 4)
    table = bytes(data[start:-4])
    for _ in range(count):
        data[-4:] = struct.pack("<I", len(data))
        data += table + bytes(4)
    return bytes(data)


def floats(*values: float) -> bytes:
    return raw(
        tag(339, SHORT, 3), width=len(values), height=1, bits=32, pixels=struct.pack(f"<{len(values)}f", *values)
    )


TIFF = [
    Upload("tiff-claims-10-gigapixels", lambda: raw(width=100_000, height=100_000, pixels=b""), "too-many-pixels"),
    Upload(
        "tiff-claims-the-limit",
        lambda: raw(width=WIDTH, height=HEIGHT, pixels=bytes(100)),
        "truncated-picture",
        memory(AT_THE_LIMIT, 1),
    ),
    Upload(
        "tiff-big-claims-2^60-pixels",
        lambda: tiff(*basic()[2:], tag(256, LONG8, 2**30), tag(257, LONG8, 2**30), *strip(9), big=True),
        "too-many-pixels",
    ),
    Upload(
        "tiff-big-table-of-2^62-tags",
        lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**62) + bytes(100),
        "unknown-picture-format",
    ),
    Upload(
        "tiff-deflated", lambda: packed(WIDTH, HEIGHT, zeros(WIDTH * HEIGHT)), AT_THE_LIMIT, memory(AT_THE_LIMIT), 4
    ),
    Upload("tiff-deflated-to-more", lambda: packed(4, 4, zeros(2**28)), (4, 4)),
    Upload("tiff-deflated-to-less", lambda: packed(4000, 4000, zeros(9)), "damaged-picture", memory((4000, 4000), 2)),
    Upload("tiff-tile-of-256-megapixels", lambda: tiled(16, 16, (2**14, 2**14)), "costly-picture: tiles are larger"),
    Upload(
        "tiff-tile-of-2^62-pixels",
        lambda: tiff(
            *basic(compression=DEFLATE),
            tag(322, LONG, 2**31),
            tag(323, LONG, 2**31),
            tag(324, LONG, 16),
            tag(325, LONG, 9),
            pixels=bytes(9),
        ),
        "costly-picture: tiles are larger",
    ),
    Upload(
        "tiff-strip-of-4-billion-rows",
        lambda: packed(4, 4, zeros(16)).replace(
            struct.pack("<HHII", 278, LONG, 1, 4), struct.pack("<HHII", 278, LONG, 1, 2**32 - 1)
        ),
        (4, 4),
    ),
    Upload("tiff-a-million-strips", lambda: strips(10**6), "costly-picture: 1,000,000 values"),
    Upload(
        "tiff-10,000-tags",
        lambda: raw(*((30_000 + i, BYTE, b"12345") for i in range(10_000))),
        "costly-picture: too many tags",
    ),
    Upload("tiff-tags-overlap", lambda: overlapping(500, 2**20), "costly-picture: overlap"),
    Upload(
        "tiff-a-million-fractions", lambda: raw((282, RATIONAL, bytes(8 * 10**6))), "costly-picture: 1,000,000 values"
    ),
    Upload("tiff-tables-go-round", lambda: tiff(*basic(), *strip(16), pixels=bytes(16), circular=True), (4, 4)),
    Upload("tiff-10,000-pages", lambda: pages(10_000), (4, 4)),
    Upload("tiff-inner-table-is-the-outer", lambda: raw(tag(34_665, LONG, 24), tag(330, LONG, 24)), (4, 4)),
    Upload("tiff-table-outside-the-file", lambda: b"II*\0\xff\xff\xff\x7f" + bytes(64), "unknown-picture-format"),
    Upload("tiff-old-jpeg", lambda: packed(16, 16, jpeg(), compression=OLD_JPEG, photometric=YCBCR), (16, 16)),
    Upload(
        "tiff-jpeg-of-another-size",
        lambda: packed(4000, 4000, jpeg(), compression=NEW_JPEG, photometric=YCBCR),
        (4000, 4000),
        memory((4000, 4000)),
    ),
    Upload("tiff-jpeg-is-deflated", lambda: packed(4, 4, zeros(16), compression=NEW_JPEG), "damaged-picture"),
    Upload("tiff-unknown-compression", lambda: packed(4, 4, zeros(16), compression=9999), "unknown-picture-format"),
    Upload(
        "tiff-65535-samples",
        lambda: raw(tag(338, SHORT, 1)).replace(
            struct.pack("<HHII", 277, SHORT, 1, 1), struct.pack("<HHII", 277, SHORT, 1, 65_535)
        ),
        "unknown-picture-format",
    ),
    Upload("tiff-without-width", lambda: raw(width=0), "unknown-picture-format"),
    Upload(
        "tiff-32-bit-numbers",
        lambda: raw(tag(339, SHORT, 2), bits=32, pixels=struct.pack("<16i", *[-(2**31), 2**31 - 1] * 8)),
        (4, 4),
    ),
    Upload("tiff-floats-that-are-none", lambda: floats(float("nan"), float("inf"), float("-inf"), 1e38), (1, 4)),
    Upload("tiff-lab", lambda: raw(photometric=LAB), (4, 4)),
    Upload("tiff-cmyk", lambda: raw(photometric=CMYK), (4, 4)),
    Upload(
        "tiff-ycbcr-sampled-0-by-0",
        lambda: packed(16, 16, zeros(768), tag(530, SHORT, 0, 0), photometric=YCBCR),
        "damaged-picture",
    ),
    Upload("tiff-palette-of-one-colour", lambda: raw(tag(320, SHORT, 1, 2, 3), photometric=PALETTE), (4, 4)),
    Upload("tiff-orientation-of-4-billion", lambda: raw(tag(274, LONG, 2**32 - 1)), (4, 4)),
]
