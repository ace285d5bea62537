"""More than 300 odd files, each with what must become of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from zoo.images.find import FOREIGN_SUFFIXES, PICTURE_SUFFIXES
from zoo.images.skipped import FOREIGN, HIDDEN, OTHER, SYSTEM, Kind

from . import pictures

TAKEN, REFUSED, EITHER, SKIPPED = "taken", "refused", "either", "skipped"

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
JXL = b"\xff\x0a" + (1 | 1 << 1 | 0 << 6 | 2 << 9).to_bytes(2, "little") + bytes(30)
NAMES = [
    "a b.png",
    "'quoted'.png",
    'double"quote.png',
    "-x.png",
    "--json.png",
    "#1.png",
    "100%.png",
    "%s.png",
    "[bold]red.png",
    "{}.png",
    "a;b,c.png",
    "a\tb.png",
    "a\nb.png",
    "a\x1b[31m.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\u732b.png",
    "\N{CAT FACE}.png",
    "\u202egnp.png",
    "CON.png",
    "x.tar.png",
    "x..png",
    " .png",
    "~.png",
    "$HOME.png",
    "a\\b.png",
    "*.png",
    "?.png",
    "A.PNG",
    "n" * 240 + ".png",
    os.fsdecode(b"caf\xe9.png"),
    os.fsdecode(b"\xff\xfe.png"),
]
TEXTS = {
    "readme.txt": b"read me",
    "labels.csv": b"path,label\n",
    "README": b"P5 and BM and GIF",
    "film.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(20),
    "archive.zip": b"PK\x03\x04" + bytes(20),
    "array.npy": b"\x93NUMPY\x01\0",
    "page.html": b"<!doctype html><img src=x>",
    "sound.wav": b"RIFF\x24\0\0\0WAVEfmt ",
    "empty.txt": b"",
    "empty": b"",
    "notes.md": b"BMW",
    "utf16.txt": "text".encode("utf-16"),
}


@dataclass(frozen=True, slots=True)
class Odd:
    """A file of the corpus.

    Attributes:
        expected: `TAKEN`, `REFUSED` with `code`, `SKIPPED` as `kind`, or `EITHER` taken or refused.
        shape: of a picture that is taken, whose right half is bright; None where nobody knows.
    """

    name: str
    data: bytes
    expected: str
    code: str = ""
    kind: Kind | None = None
    shape: tuple[int, int] | None = None


def all_files() -> list[Odd]:
    """Every file of the corpus, with names that differ."""
    files = [*_pictures(), *_suffixes(), *_damaged(), *_names(), *_skipped()]
    assert len({file.name for file in files}) == len(files)
    return files


def _pictures() -> Iterator[Odd]:
    for group in (pictures.all_modes, pictures.all_orientations, pictures.all_sizes, pictures.all_animations):
        for each in group():
            yield Odd(f"{each.what}.{each.suffix}", each.data, TAKEN, shape=each.shape)


def _suffixes() -> Iterator[Odd]:
    """Content decides: each format under each other's suffix, under none, and under one that is none of a picture."""
    kinds = list(pictures.plain(4000))
    for number, each in enumerate(kinds):
        other = kinds[(number + 1) % len(kinds)]
        for name in (f"as.{other.suffix}", "none", "other.dat", "other.txt", "upper." + each.suffix.upper()):
            yield Odd(f"content-{each.what}-{name}".removesuffix("-none"), each.data, TAKEN, shape=each.shape)
    png = pictures.encoded(pictures.drawing(4100), "PNG")
    for suffix in sorted(PICTURE_SUFFIXES):
        yield Odd(f"suffix{suffix.title()}", png, TAKEN, shape=(16, 24))
    for suffix, data in ((".heic", HEIC), (".HEIF", HEIC), (".hif", HEIC), (".jxl", JXL), (".jpg", HEIC), ("", JXL)):
        yield Odd(f"package-{len(data)}{suffix}", data, REFUSED, "missing-picture-package")


def _damaged() -> Iterator[Odd]:
    for each in pictures.plain(5000):
        data, name = each.data, f"damaged-{each.what}"
        half = len(data) // 2
        yield Odd(f"{name}-empty.{each.suffix}", b"", REFUSED, "empty-picture")
        yield Odd(f"{name}-text.{each.suffix}", b"this is not a picture", REFUSED, "unknown-picture-format")
        yield Odd(f"{name}-zeros.{each.suffix}", bytes(len(data)), REFUSED, "unknown-picture-format")
        yield Odd(f"{name}-head.{each.suffix}", data[:20], REFUSED)
        yield Odd(f"{name}-half.{each.suffix}", data[:half], EITHER if each.what == "JPEG2000" else REFUSED)
        yield Odd(f"{name}-end.{each.suffix}", data[:-3], EITHER)
        yield Odd(f"{name}-flipped.{each.suffix}", data[:half] + bytes(b ^ 255 for b in data[half:]), EITHER)
        yield Odd(f"{name}-longer.{each.suffix}", data + b"and more" * 9, TAKEN, shape=each.shape)
        yield Odd(f"{name}-shifted.{each.suffix}", b"\0" + data, REFUSED)


def _names() -> Iterator[Odd]:
    for number, name in enumerate(NAMES):
        yield Odd(name, pictures.encoded(pictures.drawing(6000 + number), "PNG"), TAKEN, shape=(16, 24))


def _skipped() -> Iterator[Odd]:
    png = pictures.encoded(pictures.drawing(7000), "PNG")
    for suffix in sorted(FOREIGN_SUFFIXES):
        yield Odd(f"foreign{suffix}", b"II*\0" + bytes(20), SKIPPED, kind=FOREIGN)
    for name, data in TEXTS.items():
        yield Odd(name, data, SKIPPED, kind=OTHER)
    for name in (".hidden.png", ".x", ".gitignore"):
        yield Odd(name, png, SKIPPED, kind=HIDDEN)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.png", "Icon\r", "x.jpg@SynoEAStream", "ehthumbs.db"):
        yield Odd(name, png, SKIPPED, kind=SYSTEM)
