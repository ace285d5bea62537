"""The pictures of one split: a folder with one folder per class."""

from __future__ import annotations

from pathlib import Path

from zoo.data.listing import Listing, quoted, some
from zoo.errors import DataError
from zoo.images import Found, find_pictures, look, search
from zoo.images.skipped import OUTSIDE


def read_folder(folder: Path, *, training: bool = True) -> Listing:
    """The pictures of one split. The label of a picture is the name of its class folder.

    Links are followed. What is skipped is counted in a note.

    Args:
        training: whether every class folder must contain a picture.

    Raises:
        DataError: there are no class folders, no pictures, a class without pictures, or a folder that cannot be read.
    """
    found = Found()
    classes = look(folder, found, classes=True)
    if not classes:
        pictures = len(find_pictures(folder))
        raise DataError(
            f"Folder '{folder}' has no class folders. It holds {pictures} picture{'' if pictures == 1 else 's'}.",
            f"Create one folder per class, for example {folder / 'cat'} and {folder / 'dog'}",
            code="folder-without-classes",
        )
    found.skipped.add(OUTSIDE, *found.pictures)
    found.pictures, found.by_content = [], []
    labels: list[str] = []
    empty: list[str] = []
    for path in classes:
        before = len(found.pictures)
        search(path, found)
        count = len(found.pictures) - before
        labels += [path.name] * count
        if not count:
            empty.append(path.name)
    if not labels or (training and empty):
        cause = f"The class folders {some(quoted(empty))} in '{folder}' have no pictures."
        skipped = found.skipped.sentence(folder)
        raise DataError(
            f"{cause} {skipped}" if skipped else cause,
            "Add pictures to them, or remove these folders.",
            code="class-without-pictures",
        )
    return Listing(folder, found.pictures, labels, found.notes(folder), _alike(folder, classes))


def _alike(folder: Path, classes: list[Path]) -> tuple[str, ...]:
    """Class folders that hold the same folders and nothing else are more often groups of pictures than classes."""
    contents = []
    for path in classes:
        found = Found()
        contents.append([inner.name for inner in look(path, found)])
        if found.pictures:
            return ()
    if len(classes) < 2 or len(contents[0]) < 2 or any(names != contents[0] for names in contents):  # noqa: PLR2004
        return ()
    return (
        f"The class folders in '{folder}' hold the same folders, {some(quoted(contents[0]))}. "
        "If these are the classes, create one folder for each of them instead.",
    )
