"""Picture files in a folder, by their suffix."""

from __future__ import annotations

import os
from pathlib import Path

_SUFFIXES = "jpg jpeg jpe jfif png apng gif bmp webp tif tiff ppm pgm pbm pnm avif jp2"
PICTURE_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())


def find_pictures(folder: Path) -> list[Path]:
    """All pictures in a folder and its sub-folders, by suffix, sorted. Hidden files and folders are ignored."""
    return [path for path in find_files(folder) if is_picture(path)]


def find_files(folder: Path) -> list[Path]:
    """All files in a folder and its sub-folders, sorted. Follows links, ignores hidden files and folders."""
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        # A link to a folder above would be walked forever.
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            found += [Path(parent, name) for name in files if not name.startswith(".")]
        seen.add(real)
    return sorted(found)


def is_picture(path: Path) -> bool:
    """Whether the suffix is one of `PICTURE_SUFFIXES`."""
    return path.suffix.lower() in PICTURE_SUFFIXES
