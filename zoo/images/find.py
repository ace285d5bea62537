"""The one rule for what in a folder is a picture: by its suffix, otherwise by its first bytes.

Training, `zoo check`, `zoo evaluate` and `zoo predict` search with it. What they skip is counted by kind.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from zoo.errors import DataError, reason_of
from zoo.images.formats import HEAD_BYTES, picture_format
from zoo.images.skipped import (
    AGAIN,
    BROKEN,
    CLOSED,
    FOREIGN,
    HIDDEN,
    OTHER,
    SPECIAL,
    SYSTEM,
    Skipped,
    is_of_the_system,
)

_SUFFIXES = "jpg jpeg jpe jfif png apng gif bmp webp tif tiff ppm pgm pbm pnm avif jp2 heic heif hif jxl"
PICTURE_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())

# Pictures that are not decoded. Camera files begin like a TIFF file that holds a small preview.
_FOREIGN = (
    "3fr arw cr2 cr3 crw dcr dng erf iiq k25 kdc mef mos mrw nef nrw orf pef ptx raf raw rw2 rwl sr2 srf srw x3f "
    "psd psb xcf kra ai svg svgz eps ps pdf ico cur icns tga dds exr hdr pcx sgi pic pict jxr wdp hdp mng djvu dcm "
    "nii fits fit j2k jpx"
)
FOREIGN_SUFFIXES = frozenset(f".{name}" for name in _FOREIGN.split())


@dataclass(slots=True)
class Found:
    """What was found in a folder.

    Attributes:
        folders: the visible folders in it, sorted; empty where they were searched too.
        pictures: sorted.
        by_content: those of the pictures whose names do not say that they are pictures.
        foreign: pictures in formats that are not decoded.
        skipped: everything else, and `foreign`.
    """

    folders: list[Path] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    by_content: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)

    def notes(self, folder: Path) -> tuple[str, ...]:
        """What the user must know: one sentence about skipped files, one about pictures with other names."""
        notes = [self.skipped.sentence(folder)]
        if self.by_content:
            count, example = len(self.by_content), self.by_content[0]
            example = example.relative_to(folder) if example.is_relative_to(folder) else example
            notes.append(
                f"Pictures in '{folder}' without the suffix of a picture, taken by their content: {count:,} "
                f"('{example}')."
            )
        return tuple(note for note in notes if note)


def find_pictures(folder: Path) -> list[Path]:
    """All pictures in a folder and its sub-folders, sorted. `search` also tells what was skipped."""
    return search(folder).pictures


def is_picture(path: Path) -> bool:
    """Whether the suffix is one of `PICTURE_SUFFIXES`."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def search(folder: Path, found: Found | None = None) -> Found:
    """Searches a folder and its sub-folders. Links are followed.

    Args:
        found: takes what is found, in addition to what it has.

    Raises:
        DataError: a folder cannot be read, or a link without a suffix leads nowhere: it may have been a folder.
    """
    whole = found if found is not None else Found()
    start = len(whole.pictures)
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(current)
        if real in seen:  # a link to a folder above would be followed forever
            whole.skipped.add(AGAIN, current)
            continue
        seen.add(real)
        level = look(current, whole)
        waiting += reversed(level)
    whole.pictures[start:] = sorted(whole.pictures[start:])
    return whole


def look(folder: Path, found: Found, *, classes: bool = False) -> list[Path]:
    """Looks at what is directly in a folder. Returns the folders in it, sorted.

    Args:
        found: takes pictures and what is skipped.
        classes: whether a folder in it is a class or a split, so that each broken link is an error.

    Raises:
        DataError: as `search`.
    """
    folders = []
    try:
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            path = folder / entry.name
            is_folder = path.is_dir() if entry.is_symlink() else entry.is_dir()
            if is_of_the_system(entry.name, folder=is_folder):
                found.skipped.add(SYSTEM, path)
            elif entry.name.startswith("."):
                found.skipped.add(HIDDEN, path)
            elif is_folder:
                folders.append(path)
            else:
                _add_file(path, entry, found, classes=classes)
    except OSError as error:
        raise DataError(
            f"Folder '{error.filename or folder}' cannot be read: {reason_of(error)}.",
            "Check its permissions, or remove it.",
            code="unreadable-path",
        ) from None
    return folders


def _add_file(path: Path, entry: os.DirEntry[str], found: Found, *, classes: bool) -> None:
    suffix = path.suffix.lower()
    if not (path.is_file() if entry.is_symlink() else entry.is_file()):
        broken = entry.is_symlink() and not path.exists()
        if broken and suffix in PICTURE_SUFFIXES:
            found.pictures.append(path)  # it is counted as unreadable
        elif broken and (classes or not suffix):
            raise DataError(
                f"'{path}' is a broken link to '{path.readlink()}'.",
                "Restore what it leads to, or remove the link.",
                code="broken-link",
            )
        else:
            found.skipped.add(BROKEN if broken else SPECIAL, path)
    elif suffix in PICTURE_SUFFIXES:
        found.pictures.append(path)
    elif suffix in FOREIGN_SUFFIXES:
        found.foreign.append(path)
        found.skipped.add(FOREIGN, path)
    else:
        _add_by_content(path, found)


def _add_by_content(path: Path, found: Found) -> None:
    try:
        with path.open("rb") as file:
            known = picture_format(file.read(HEAD_BYTES))
    except OSError:
        found.skipped.add(CLOSED, path)
        return
    if known is None:
        found.skipped.add(OTHER, path)
    else:
        found.pictures.append(path)
        found.by_content.append(path)
