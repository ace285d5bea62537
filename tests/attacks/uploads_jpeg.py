"""JPEG: sizes that only the header claims, floods of segments and scans, metadata that points back into itself."""

from __future__ import annotations

import io
import struct

from PIL import Image

from .attack import AT_THE_LIMIT, Upload, memory

HEIGHT, WIDTH = AT_THE_LIMIT
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
LONG, UNDEFINED = 4, 7


def saved(picture: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def jpeg(*segments: bytes, mode: str = "RGB", **options) -> bytes:
    """A picture of 16 x 16 with segments behind its first marker."""
    data = saved(Image.new(mode, (16, 16)), **options)
    return data[:2] + b"".join(segments) + data[2:]


def segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 255, marker, len(body) + 2) + body


def sized(data: bytes, width: int, height: int, *, bits: int = 8, sampling: int | None = None) -> bytes:
    """The same file with another size in its header."""
    at = next(data.find(bytes([255, marker])) for marker in (0xC0, 0xC2) if bytes([255, marker]) in data)
    changed = bytearray(data)
    changed[at + 4 : at + 9] = struct.pack(">BHH", bits, height, width)
    if sampling is not None:
        changed[at + 11] = sampling
    return bytes(changed)


def scans(count: int) -> bytes:
    """A grey picture at the limit, with so many scans of no data: libjpeg walks through all blocks for each."""
    data = sized(saved(Image.new("L", (16, 16)), progressive=True), WIDTH, HEIGHT)
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0]))
    return data[:-2] + scan * count + data[-2:]


def tables(count: int, length: int) -> bytes:
    """EXIF of so many entries that all have the same bytes for their value."""
    start = 8 + 2 + 12 * count + 4
    entries = b"".join(struct.pack("<HHII", 50_000 - i, UNDEFINED, length, start) for i in reversed(range(count)))
    return b"II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4 + length)


def pieces(count: int) -> bytes:
    """EXIF in segments of ten bytes: Pillow copies what it has for each."""
    return segment(0xE1, EXIF + bytes(10)) * count


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 65_000] for at in range(0, len(data), 65_000)]


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A table of tags: number, type, count, value; and where the next table is."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return EXIF + b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following)


def multi(count: int) -> bytes:
    """The index of several pictures in one file (MPO)."""
    table = struct.pack("<HHII", 0xB001, LONG, 1, count) + struct.pack(
        "<HHII", 0xB002, UNDEFINED, 16 * count % 2**32, 50
    )
    return segment(0xE2, b"MPF\0II*\0" + struct.pack("<IH", 8, 2) + table + bytes(200))


ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(20))
    + b"]><x>&u;</x>"
)
JPEG = [
    Upload("jpeg-claims-the-largest-size", lambda: sized(jpeg(), 65_500, 65_500), "too-many-pixels"),
    Upload("jpeg-claims-170-megapixels", lambda: sized(jpeg(), 17_000, 10_000), "too-many-pixels"),
    Upload("jpeg-claims-the-limit", lambda: sized(jpeg(), WIDTH, HEIGHT), AT_THE_LIMIT, memory(AT_THE_LIMIT), 4),
    Upload(
        "jpeg-progressive-claims-the-limit",
        lambda: sized(jpeg(progressive=True), WIDTH, HEIGHT),
        AT_THE_LIMIT,
        memory(AT_THE_LIMIT),
        6,
    ),
    Upload("jpeg-without-height", lambda: sized(jpeg(), 16, 0), "unknown-picture-format"),
    Upload("jpeg-10,000-scans", lambda: scans(10_000), "costly-picture: too many parts", memory(AT_THE_LIMIT), 10),
    Upload("jpeg-a-million-segments", lambda: jpeg(segment(0xFE) * 10**6), "costly-picture: too many parts"),
    Upload("jpeg-500-tables", lambda: jpeg(segment(0xC4, bytes(17)) * 500), (16, 16)),
    Upload("jpeg-8-MB-between-segments", lambda: jpeg(segment(0xFE), bytes(2**23)), "costly-picture: too many parts"),
    Upload("jpeg-exif-in-300,000-pieces", lambda: jpeg(pieces(300_000)), "costly-picture: too many parts"),
    # Thousands of values, all the same bytes: Pillow copies them for each. The second file would take a gigabyte.
    Upload("jpeg-exif-overlaps", lambda: jpeg(segment(0xE1, EXIF + tables(2700, 32_000))), "costly-picture: overlap"),
    Upload(
        "jpeg-exif-overlaps-in-segments",
        lambda: jpeg(*(segment(0xE1, EXIF + part) for part in cut(tables(2000, 2**19)))),
        "costly-picture: overlap",
    ),
    Upload(
        "jpeg-exif-goes-round",
        lambda: jpeg(segment(0xE1, exif((0x8769, LONG, 1, 8), (0x8825, LONG, 1, 8), following=8))),
        (16, 16),
    ),
    Upload("jpeg-exif-count-of-4-billion", lambda: jpeg(segment(0xE1, exif((0x112, 3, 2**32 - 1, 8)))), (16, 16)),
    Upload("jpeg-orientation-is-a-fraction", lambda: jpeg(segment(0xE1, exif((0x112, 5, 1, 8)))), (16, 16)),
    Upload("jpeg-orientation-is-a-text", lambda: jpeg(segment(0xE1, exif((0x112, 2, 4, 6)))), (16, 16)),
    Upload("jpeg-orientation-is-no-orientation", lambda: jpeg(segment(0xE1, exif((0x112, 4, 1, 2**32 - 1)))), (16, 16)),
    Upload("jpeg-xmp-of-entities", lambda: jpeg(segment(0xE1, XMP + ENTITIES)), (16, 16)),
    Upload("jpeg-profile-of-noise", lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\1\1" + b"\xff" * 60_000)), (16, 16)),
    Upload(
        "jpeg-profile-in-two-first-parts",
        lambda: jpeg(segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(60_000)) * 255),
        (16, 16),
    ),
    Upload(
        "jpeg-photoshop-block-of-4-GiB",
        lambda: jpeg(segment(0xED, b"Photoshop 3.0\08BIM\3\xed\0\0\xff\xff\xff\xff" + bytes(99))),
        (16, 16),
    ),
    Upload("jpeg-4-billion-pictures", lambda: jpeg(multi(2**32 - 1)), (16, 16)),
    Upload("jpeg-four-pictures-outside-the-file", lambda: jpeg(multi(4)), (16, 16)),
    Upload("jpeg-12-bit", lambda: sized(jpeg(), 16, 16, bits=12), "unknown-picture-format"),
    Upload("jpeg-sampled-4-by-4", lambda: sized(jpeg(), 16, 16, sampling=0x44), "damaged-picture"),
    Upload("jpeg-sampled-0-by-0", lambda: sized(jpeg(), 16, 16, sampling=0), "damaged-picture"),
    Upload("jpeg-arithmetic", lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc9"), (16, 16)),
    Upload("jpeg-lossless", lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc3"), "damaged-picture"),
    Upload(
        "jpeg-cmyk-without-adobe",
        lambda: jpeg(mode="CMYK").replace(b"\xff\xee\0\x0eAdobe", b"\xff\xef\0\x0eOther"),
        (16, 16),
    ),
    Upload(
        "jpeg-cmyk-as-ycck", lambda: jpeg(mode="CMYK").replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"), (16, 16)
    ),
    Upload("jpeg-colours-of-no-kind", lambda: jpeg(segment(0xEE, b"Adobe\0d\0\0\0\0\x09")), (16, 16)),
    Upload("jpeg-without-end", lambda: jpeg()[:-2], "truncated-picture"),
    Upload("jpeg-without-scan", lambda: jpeg()[: jpeg().index(b"\xff\xda")], "unknown-picture-format"),
    Upload(
        "jpeg-scan-without-header", lambda: b"\xff\xd8" + jpeg()[jpeg().index(b"\xff\xda") :], "unknown-picture-format"
    ),
    Upload("jpeg-and-zip", lambda: jpeg() + b"PK\5\6" + bytes(18), (16, 16)),
    Upload("jpeg-named-as-a-page", lambda: jpeg(segment(0xFE, b"<script>alert(1)</script>")), (16, 16)),
]
