"""Any folder of pictures: `train/` beside `val/` or `test/`, or a bare folder; a folder per class in each."""

from __future__ import annotations

from pathlib import Path

from zoo.data.listing import Listing, quoted, some
from zoo.errors import DataError
from zoo.images import find_files, find_pictures, is_picture

TRAIN_NAMES = ("train",)
VAL_NAMES = ("val", "valid", "validation")
TEST_NAMES = ("test",)
LAYOUT = "Put the pictures of each class into a folder of its own: FOLDER/cat/…, FOLDER/dog/…"


def find_splits(folder: Path) -> tuple[Path, Path | None, Path | None]:
    """The folders of train, val and test; `folder` itself is train where it holds a folder per class.

    Raises:
        DataError: there is no folder per class, two folders for one split, or no `train`.
    """
    train, val, test = (_named(folder, names) for names in (TRAIN_NAMES, VAL_NAMES, TEST_NAMES))
    if train and subfolders(train):
        return train, val, test
    # `bus/`, `car/`, `train/`: a class may be called train, and then holds pictures instead of folders.
    if val or test or (train and len(subfolders(folder)) == 1):
        raise DataError(
            f"'{folder}' has no folder 'train' with a folder per class in it.",
            "Lay it out as FOLDER/train/CLASS/… and FOLDER/val/CLASS/…, or as FOLDER/CLASS/…",
        )
    return folder, None, None


def read_folder(folder: Path, *, training: bool = True) -> Listing:
    """The pictures of one split, each labelled with the name of the class folder that it lies in.

    Links are followed; hidden files and folders, and files that are no pictures, are left out.

    Args:
        training: whether every class folder must hold a picture.

    Raises:
        DataError: there are no class folders, no pictures, or a class without pictures.
    """
    classes = subfolders(folder)
    if not classes:
        found = len(find_pictures(folder))
        raise DataError(f"'{folder}' holds {found} pictures, but no folder per class.", LAYOUT)
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
            f"There are no pictures in the class folders {some(quoted(empty))} of '{folder}'.",
            "Add pictures to them or remove them.",
        )
    ignored += sum(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
    notes = (f"{ignored} files in '{folder}' are no pictures of a class and were left out.",) if ignored else ()
    return Listing(folder, files, labels, notes)


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, links included, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    found = [path for path in subfolders(folder) if path.name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"'{folder}' has the folders {some(quoted([path.name for path in found]))} for one split.",
            "Keep one of them.",
        )
    return found[0] if found else None
