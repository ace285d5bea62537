"""Protobuf's wire format: reads the fields of a message, one by one, without its schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_FIELDS = 1_000_000  # reading so many takes two seconds; a network of 10,000 nodes has less than half
LENGTH = 2  # the wire type of values with a length
_VARINT = 0
_FIXED = {1: 8, 5: 4}  # sizes in bytes, by wire type


@dataclass(slots=True)
class Reader:
    """A file under inspection; it stops at `MAX_FIELDS`."""

    path: Path
    file: BinaryIO
    fields: int = 0


def fields(reader: Reader, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Of a message: field number, begin of the tag, begin and end of the value. Raises ValueError."""
    file = reader.file
    while start < end:
        reader.fields += 1
        file.seek(start)
        tag = varint(file)
        # Protobuf's own reader cuts longer tags to 32 bits, so it would see another field.
        if tag >= 2**32 or reader.fields > MAX_FIELDS:
            raise ValueError
        length = varint(file) if tag & 7 == LENGTH else _FIXED.get(tag & 7, 0)
        begin = file.tell()
        if tag & 7 == _VARINT:
            varint(file)
            length = file.tell() - begin
        elif tag & 7 not in (LENGTH, *_FIXED):
            raise ValueError
        if begin + length > end:
            raise ValueError
        yield tag >> 3, start, begin, begin + length
        start = begin + length


def varint(file: BinaryIO) -> int:
    """The number at the file's position. Raises ValueError. https://protobuf.dev/programming-guides/encoding/#varints"""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:  # noqa: PLR2004
            return value
    raise ValueError


def field(number: int, value: bytes) -> bytes:
    """A field that has a length."""
    return encoded(number << 3 | LENGTH) + encoded(len(value)) + value


def encoded(value: int) -> bytes:
    """What `varint` reads."""
    out = bytearray()
    while value > 127:  # noqa: PLR2004
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
