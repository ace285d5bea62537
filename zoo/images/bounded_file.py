"""Limits on the work and memory that Pillow may spend on the header of a picture file.

Pillow reads headers and metadata in Python. A small untrusted file can take minutes or gigabytes before its size is
known. Examples are millions of parts, or a thousand tags that share one value of a megabyte.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

# A part of a header takes Pillow two to four reads: a segment of JPEG, a chunk of PNG, a block of GIF, a tag of TIFF.
OPENING_READS = 10_000
LOADING_READS = 50_000  # and one for each 256 bytes of the file: chunks of PNG may be that small
READS_PER_PIXEL = 4  # where Pillow decodes in Python: BMP and PPM of some kinds
MAX_SCANS = 300  # of a JPEG: libjpeg visits every pixel in each; programs write 10, and 100 at most
MAX_EXIF_SEGMENTS = 16
MAX_TAGS = 3000
MAX_VALUES = 200_000  # of one tag, each of them an object of Python: a strip or a tile has one
MAX_TILE_PIXELS = 2**22  # unless the picture has more

# A file of so few bytes has no more parts than is allowed; its metadata may still be costly.
SMALL_BYTES = 10_000
_METADATA = (b"xif", b"XIf")  # of what Pillow takes for EXIF, in JPEG and PNG
_SCAN = b"\xff\xda"
_SIMPLE = (b"\xff\xd8\xff", b"\x89PNG")

_EXIF = b"Exif\0\0"
_TIFF = (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+")
_HEADER = re.compile(b"|".join(map(re.escape, _TIFF)))
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}  # by type, in bytes
_TEXTS = frozenset({1, 2, 7})  # types whose value is one object
_PLACES = frozenset({273, 324})  # of strips and tiles: each becomes an object, whatever their type
_BASELINE = 1024  # tags of lower numbers are decoded, of others the bytes are kept
_INNER = frozenset({34_665, 34_853, 40_965})  # tables in the table: all their tags are decoded
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323


class TooCostlyError(Exception):
    """The file needs more work than a normal file. The message is a clause without a full stop."""


def bounded(file: BinaryIO) -> BinaryIO | BoundedFile:
    """The file with limits for Pillow. Small files without costly parts are read at once, which is faster."""
    start = file.tell()
    data = file.read(SMALL_BYTES + 1)
    if (
        len(data) <= SMALL_BYTES
        and data.startswith(_SIMPLE)
        and data.count(_SCAN) <= MAX_SCANS
        and not any(name in data for name in _METADATA)
    ):
        return BytesIO(data)
    file.seek(start)
    return BoundedFile(file)


class BoundedFile:
    """An open file whose `read` raises `TooCostlyError` when Pillow reads too much."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads = OPENING_READS
        self._kind: bytes | None = None  # the first bytes
        self._scans = 0
        self._exif: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise TooCostlyError("it has too many parts")
        data = self._file.read(size)
        if self._kind is None:
            self._kind = data[:12]
            if data.startswith(_TIFF):
                place = self._file.tell()
                check_tags(self._file)
                self._file.seek(place)
        elif self._kind.startswith(b"\xff\xd8"):
            self._check_jpeg(data)
        elif self._kind[4:8] == b"ftyp":
            for header in _HEADER.finditer(data):  # AVIF, which Pillow reads as a whole, and its EXIF at once
                check_tags(BytesIO(data[header.start() :]))
        return data

    def allow(self, pixels: int, format: str | None) -> None:  # noqa: A002  (Pillow calls it so)
        """Sets the limit for the rest of the file, after Pillow has read the number of pixels in the header."""
        place, size = self._file.tell(), self._file.seek(0, 2)
        self._file.seek(place)
        self._reads = LOADING_READS + (READS_PER_PIXEL * pixels if format in {"BMP", "PPM"} else size // 256)

    def _check_jpeg(self, data: bytes) -> None:
        self._scans += data.count(_SCAN)
        if data.startswith(_EXIF):
            self._exif.append(data[len(_EXIF) :])
            if len(self._exif) <= MAX_EXIF_SEGMENTS:
                check_exif(b"".join(self._exif))
        if self._scans > MAX_SCANS or len(self._exif) > MAX_EXIF_SEGMENTS:
            raise TooCostlyError("it has too many parts")


def check_metadata(info: Mapping[Any, Any]) -> None:
    """Takes an image's `info`. Raises `TooCostlyError` where its EXIF is too costly for Pillow."""
    profile: str = info.get("Raw profile type exif") or ""  # of a PNG: hexadecimal digits below three lines
    check_exif(info.get("exif") or bytes.fromhex("".join(profile.split("\n")[3:])))


def check_exif(data: bytes) -> None:
    """Raises `TooCostlyError` where this EXIF is too costly for Pillow."""
    while data.startswith(_EXIF):
        data = data[len(_EXIF) :]
    if data.startswith(_TIFF):
        check_tags(BytesIO(data))


def check_tags(file: BinaryIO) -> None:
    """Reads the tag tables of a TIFF file like Pillow, but without the values. Raises `TooCostlyError`."""
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    # As Pillow: of the two byte orders, one alone may be of 64 bits.
    order, big = "<>"[head.startswith(b"M")], head[2] == 43  # noqa: PLR2004
    left = [(struct.unpack_from(order + ("8xQ" if big else "4xI"), head.ljust(16, b"\0"))[0], 0)]
    while left:
        place, depth = left.pop()
        found = _check_table(file, length, place, order, big=big, inner=depth > 0)
        if depth < len(_INNER):
            left += [(found[tag], depth + 1) for tag in _INNER & found.keys()]


def _check_table(file: BinaryIO, length: int, place: int, order: str, *, big: bool, inner: bool) -> dict[int, int]:
    """Checks one table. Returns the tags whose value is one integer."""
    counts, entries = struct.Struct(order + "HQ"[big]), struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    file.seek(min(place, length))
    (count,) = counts.unpack(file.read(counts.size).ljust(counts.size, b"\0"))
    table = file.read(entries.size * min(count, MAX_TAGS))
    if len(table) == entries.size * MAX_TAGS and count > MAX_TAGS:
        raise TooCostlyError("it has too many tags")
    found, total = {}, 0
    for tag, kind, number, value in entries.iter_unpack(table[: len(table) // entries.size * entries.size]):
        size = number * _SIZES.get(kind, 0)
        decoded = inner or tag < _BASELINE
        if size > len(value):
            if struct.unpack(order + "IQ"[big], value)[0] + size > length:
                break  # Pillow reads no further either
            total += size
        if number > MAX_VALUES and ((decoded and kind not in _TEXTS) or tag in _PLACES):
            raise TooCostlyError(f"tag {tag} has {number:,} values")
        if number == 1 and kind in {3, 4, 13, 16} and size <= len(value):
            found[tag] = int.from_bytes(value[:size], "little" if order == "<" else "big")
    if total > 2 * length + 2**16:
        raise TooCostlyError("its tags overlap")
    if found.get(_TILE_WIDTH, 0) * found.get(_TILE_HEIGHT, 0) > max(
        found.get(_WIDTH, 0) * found.get(_HEIGHT, 0), MAX_TILE_PIXELS
    ):
        raise TooCostlyError("its tiles are larger than the picture")
    return found
