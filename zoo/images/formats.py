"""The format of a picture file by its first bytes, whatever its name."""

from __future__ import annotations

import re
from typing import BinaryIO

HEAD_BYTES = 64

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JXL",
    b"\xff\x0a": "JXL",
}
# Two letters are no proof: a text may begin with them.
_PPM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # their sizes in bytes
# https://github.com/nokiatech/heif/wiki and https://aomediacodec.github.io/av1-avif/#brands
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def picture_format(head: bytes) -> str | None:
    """The name that Pillow gives the format, or None if these are not the first bytes of a picture.

    Args:
        head: the first `HEAD_BYTES` of a file.
    """
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PPM.match(head):
        return "PPM"
    return _boxed(head) if head[4:8] == b"ftyp" else None


def _boxed(head: bytes) -> str | None:
    """The format of an ISO media file. Videos have brands of their own."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def format_of(file: BinaryIO) -> str | None:
    """The format of an open file, which is left at its place."""
    place = file.tell()
    head = file.read(HEAD_BYTES)
    file.seek(place)
    return picture_format(head)
