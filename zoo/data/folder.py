"""Datasets in folders: `train/` beside `val/` or `test/`, or one folder, each with one folder per class."""

from __future__ import annotations

from pathlib import Path

from zoo.data.listing import Listing, quoted, some
from zoo.errors import DataError
from zoo.images import find_files, find_pictures, is_picture

TRAIN_NAMES = ("train",)
VAL_NAMES = ("val", "valid", "validation")
TEST_NAMES = ("test",)


def find_splits(folder: Path) -> tuple[Path, Path | None, Path | None]:
    """The folders of train, val and test. `folder` itself is train if it contains the class folders.

    Raises:
        DataError: class folders or the folder `train` are missing, or two folders have the same split.
    """
    train, val, test = (_named(folder, names) for names in (TRAIN_NAMES, VAL_NAMES, TEST_NAMES))
    if train and subfolders(train):
        return train, val, test
    # `bus/`, `car/`, `train/`: a class may have the name train. It then contains pictures and no folders.
    if val or test or (train and len(subfolders(folder)) == 1):
        raise DataError(
            f"Folder '{folder}' has no folder 'train' with class folders.",
            f"Create one folder per class, for example {folder / 'train' / 'cat'} and {folder / 'train' / 'dog'}",
            code="folder-without-train",
        )
    return folder, None, None


def read_folder(folder: Path, *, training: bool = True) -> Listing:
    """The pictures of one split. The label of a picture is the name of its class folder.

    Links are followed. Hidden files and folders, and files that are not pictures, are ignored.

    Args:
        training: whether every class folder must contain a picture.

    Raises:
        DataError: there are no class folders, no pictures, or a class without pictures.
    """
    classes = subfolders(folder)
    if not classes:
        found = len(find_pictures(folder))
        raise DataError(
            f"Folder '{folder}' has no class folders. It holds {found} pictures.",
            f"Create one folder per class, for example {folder / 'cat'} and {folder / 'dog'}",
            code="folder-without-classes",
        )
    files: list[Path] = []
    labels: list[str] = []
    empty: list[str] = []
    ignored = 0
    for path in classes:
        inside = find_files(path)
        pictures = [file for file in inside if is_picture(file)]
        ignored += len(inside) - len(pictures)
        files += pictures
        labels += [path.name] * len(pictures)
        if not pictures:
            empty.append(path.name)
    if not files or (training and empty):
        raise DataError(
            f"The class folders {some(quoted(empty))} in '{folder}' have no pictures.",
            "Add pictures to them, or remove these folders.",
            code="class-without-pictures",
        )
    ignored += sum(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
    notes = (f"{ignored} files in '{folder}' are not pictures in a class folder and were ignored.",) if ignored else ()
    return Listing(folder, files, labels, notes)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, with links, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    found = [path for path in subfolders(folder) if path.name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"Folder '{folder}' has several folders for one split: {some(quoted([path.name for path in found]))}.",
            "Keep one of them, and rename or remove the others.",
            code="split-twice",
        )
    return found[0] if found else None
