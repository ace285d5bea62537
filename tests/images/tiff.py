"""Uncompressed TIFF files with any tags, also those that Pillow does not write."""

from __future__ import annotations

import struct

import numpy as np

_TYPES = {"H": 3, "I": 4, "h": 8, "f": 11}


def tiff(
    pixels: np.ndarray, *, photometric: int | None = None, extra: int | None = None, tags: dict | None = None
) -> bytes:
    """A file of `[H, W]` or `[H, W, C]`. `tags` are numbers with a format of `struct` and a value."""
    height, width, *channels = pixels.shape
    count, data = (channels or [1])[0], pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    photometric = (2 if count > 1 else 1) if photometric is None else photometric
    entries = {256: ("I", width), 257: ("I", height), 259: ("H", 1), 262: ("H", photometric), 273: ("I", 8)}
    entries |= {277: ("H", count), 278: ("I", height), 279: ("I", len(data)), 258: ("H", 8 * pixels.itemsize)}
    entries |= {339: ("H", {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind])} | (tags or {})
    entries |= {} if extra is None else {338: ("H", extra)}
    head = len(data) + len(data) % 2 + 8
    table, tail = struct.pack("<H", len(entries)), b""
    for tag, (kind, value) in sorted(entries.items()):
        number = count if tag in (258, 339) else 1
        raw = struct.pack(f"<{number}{kind}", *[value] * number)
        if len(raw) > 4:
            place = head + 2 + 12 * len(entries) + 4 + len(tail)
            tail += raw
            raw = struct.pack("<I", place)
        table += struct.pack("<HHI", tag, _TYPES[kind], number) + raw.ljust(4, b"\0")
    return struct.pack("<2sHI", b"II", 42, head) + data.ljust(head - 8, b"\0") + table + b"\0" * 4 + tail
