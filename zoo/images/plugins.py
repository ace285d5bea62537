"""HEIC and JPEG XL, which Pillow reads with packages of their own. A package is imported when a file needs it."""

from __future__ import annotations

import importlib
from functools import cache
from io import SEEK_CUR
from typing import BinaryIO

from PIL import features

from zoo.images.formats import format_of

# By Pillow's name of the format: what people call it, the package for pip, and the module.
PACKAGES = {
    "HEIF": ("HEIC", "pillow-heif", "pillow_heif"),
    "JXL": ("JPEG XL", "pillow-jxl-plugin", "pillow_jxl"),
}
AVIF_PILLOW = "'pillow>=11.3'"  # earlier ones have no AVIF in the packages for Linux, macOS and Windows


class MissingPackageError(Exception):
    """A picture whose format needs a package that is not installed. The message is a clause without a full stop."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(f"{name} needs the package {package}")
        self.package = package


def plugin_format(file: BinaryIO) -> str | None:
    """`HEIF` or `JXL` if an open file is of that format, which Pillow can then read; otherwise None.

    Raises:
        MissingPackageError: the package for this format is not installed.
    """
    found = format_of(file)
    if found == "AVIF" and not _has_avif():
        raise MissingPackageError(found, AVIF_PILLOW)
    if found not in PACKAGES:
        return None
    if not _registered(found):
        raise MissingPackageError(*PACKAGES[found][:2])
    return found


@cache
def _has_avif() -> bool:
    return "avif" in features.modules and features.check_module("avif")


@cache
def _registered(name: str) -> bool:
    """Makes a format known to Pillow. False if its package is not installed."""
    try:
        module = importlib.import_module(PACKAGES[name][2])
        if name == "HEIF":
            module.register_heif_opener()
    except ImportError:
        return False
    return True


def jxl_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of an open JPEG XL file, which is left at its place.

    Its plugin decodes all of a file before it tells the size, so the header is read here:
    https://arxiv.org/abs/1908.03565 and section 3 of ISO/IEC 18181-1 (SizeHeader).

    Raises:
        ValueError: the file has no such header.
    """
    place = file.tell()
    try:
        _to_codestream(file)
        if file.read(2) != b"\xff\x0a":
            raise ValueError("it has no picture header")
        bits = _Bits(file.read(16))
    finally:
        file.seek(place)
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.size()
    ratio = bits.take(3)
    if ratio:
        over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return height * over // under, height
    return (8 * (bits.take(5) + 1) if small else bits.size()), height


def _to_codestream(file: BinaryIO) -> None:
    """Skips the boxes in front of the picture."""
    start = file.tell()
    if file.read(2) == b"\xff\x0a":
        file.seek(start)
        return
    file.seek(start)
    while len(head := file.read(8)) == 8:  # noqa: PLR2004
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        header = 8
        if length == 1:
            length, header = int.from_bytes(file.read(8), "big"), 16
        if kind == b"jxlc":
            return
        if kind == b"jxlp":
            file.seek(4, SEEK_CUR)  # the number of this part
            return
        if length < header:
            break
        file.seek(length - header, SEEK_CUR)
    raise ValueError("it has no picture")


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")
        self._count = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._count:
            raise ValueError("its picture header is cut short")
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        self._count -= count
        return value

    def size(self) -> int:
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])
