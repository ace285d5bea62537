"""Datasets from paths: a folder or a list file, and optional ones for val and test."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from zoo.data.assemble import assemble
from zoo.data.folder import read_folder
from zoo.data.list_files import read_list
from zoo.data.listing import Listing, quoted, some
from zoo.data.split_folders import SplitFolders, find_splits
from zoo.data.types import Dataset
from zoo.errors import DataError, UsageError
from zoo.images import Found, is_picture, look
from zoo.images.skipped import OUTSIDE
from zoo.specs import DatasetRequest, DatasetSpec

GIVE = "Give a folder of pictures or a list file."


def looks_like_path(text: str) -> bool:
    """Whether a text is a path and not a name: it has a separator, a leading dot or tilde, or exists."""
    if not text:  # which pathlib takes for the current folder
        return False
    separators = {"/", "\\", os.sep}
    return text.startswith((".", "~")) or any(mark in text for mark in separators) or Path(text).exists()


def dataset_at(
    path: Path | str,
    *,
    val: Path | str | None = None,
    test: Path | str | None = None,
    encoding: str = "utf-8",
) -> DatasetSpec:
    """The dataset at a path. Nothing is read before its `load` is called.

    Args:
        path: a folder (`train/` beside `val/` or `test/`, or a folder per class) or a list file.
        val, test: folders with a folder per class, or list files. They replace the folder's own.
        encoding: of the list files.

    Raises:
        UsageError: a path that does not exist, or a single picture.
    """
    given = {name: _existing(place) for name, place in (("", path), ("val", val), ("test", test)) if place}
    places = {name: place for name, place in given.items() if name}
    main = given[""]

    def load(_: DatasetRequest) -> Dataset:
        try:
            return _load(main, places, encoding)
        except OSError as error:
            raise DataError(
                f"'{error.filename}' cannot be read: {error.strerror}.",
                "Check its permissions.",
                code="unreadable-path",
            ) from None

    return DatasetSpec(name=_safe_name(main), load=load, description=f"pictures at {main}")


def _load(main: Path, places: dict[str, Path], encoding: str) -> Dataset:
    own: dict[str, Path] = {}
    if main.is_dir():
        splits = find_splits(main)
        own = {name: folder for name, folder in (("val", splits.val), ("test", splits.test)) if folder}
        train = read_folder(splits.train)
        if splits.train != main:
            train = replace(train, notes=(*splits.notes, *_unused(main, splits), *train.notes))
    else:
        train = read_list(main, encoding)
    parts = {name: _part(place, encoding) for name, place in {**own, **places}.items()}
    return assemble(train, parts.get("val"), parts.get("test"), source=main)


def _unused(main: Path, splits: SplitFolders) -> list[str]:
    """One sentence about folders beside the splits, and one about files there."""
    found = Found()
    taken = [path for path in (splits.train, splits.val, splits.test) if path]
    folders = look(main, found, classes=True)
    unused = [path.name for path in folders if not any(path in (part, part.parent) for part in taken)]
    found.skipped.add(OUTSIDE, *found.pictures)
    skipped = found.skipped.sentence(main)
    sentences = [f"The folders {some(quoted(unused))} in '{main}' are not used."] if unused else []
    return [*sentences, *([skipped] if skipped else [])]


def _part(place: Path, encoding: str) -> Listing:
    return read_folder(place, training=False) if place.is_dir() else read_list(place, encoding)


def _existing(place: Path | str) -> Path:
    path = Path(place).expanduser()
    if not path.exists():
        raise UsageError(f"'{place}' does not exist.", GIVE, code="missing-dataset")
    if path.is_file() and is_picture(path):
        raise UsageError(f"'{place}' is one picture, not a dataset.", GIVE, code="single-picture")
    return path


def _safe_name(path: Path) -> str:
    whole = path.resolve()
    name = whole.stem if whole.is_file() else whole.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "pictures"
