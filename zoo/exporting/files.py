"""Where an artifact goes: nothing is there before it is whole, and what was there stays until then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import ExportError, UsageError, reason_of
from zoo.files import data_path, work_folder


def names_folder(output: Path | str | None) -> bool:
    """Whether an output ends in a slash; a `Path` has lost it."""
    return isinstance(output, str) and output.endswith(("/", os.sep))


def destination(
    folder: Path, stem: str, suffix: str, output: Path | str | None, *, overwrite: bool, data: bool = False
) -> Path:
    """The file to write. Raises `UsageError`, before any work, where it cannot be written.

    Args:
        folder: where it goes, as `stem` with `suffix`, unless `output` names another file or, with a slash at its
            end, another folder.
        data: whether a file of weights goes beside it.
    """
    if output is None:
        target = folder / f"{stem}{suffix}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ExportError(f"'{folder}' cannot be made: {reason_of(error)}.", "Name another --output.") from None
    elif names_folder(output):
        target = Path(output) / f"{stem}{suffix}"
    else:
        target = Path(output)
        if target.is_dir():
            raise UsageError(f"'{target}' is a folder.", f"Name a file in it: {target / stem}{suffix}")
        if not target.name.lower().endswith(suffix):
            target = target.with_name(target.name + suffix)
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder '{target.parent}'.", "Make it first, or name another --output.")
    for path in (target, data_path(target)) if data else (target,):
        _refuse_existing(path, overwrite=overwrite)
    return target


@contextmanager
def prepared(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a place for a file of the target's name and others that belong to it; at the end they go to the target.

    Where the context ends with an error, what was there is there afterwards, and nothing else.

    Raises:
        UsageError: the target came to be meanwhile.
        ExportError: the operating system refuses to write.
    """
    try:
        with work_folder(target.parent) as folder:
            new = folder / "new"
            new.mkdir()
            yield new / target.name
            _place(new, target, folder, overwrite=overwrite)
    except OSError as error:
        raise ExportError(
            f"'{target}' cannot be written: {reason_of(error)}.", "Free the place, or name another --output."
        ) from None


def _place(new: Path, target: Path, aside: Path, *, overwrite: bool) -> None:
    # The file itself goes last: it makes the others count.
    made = sorted(new.iterdir(), key=lambda path: path.name == target.name)
    for path in made:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # after a power cut, a renamed file must not be empty
        _refuse_existing(target.with_name(path.name), overwrite=overwrite)
    try:
        for path in made[:-1]:
            place = target.with_name(path.name)
            if place.exists():
                place.replace(aside / path.name)
            path.replace(place)
        made[-1].replace(target)
    except BaseException:  # of Ctrl-C, too: a file and the weights of another are no artifact
        if made[-1].exists():  # else all of it is in its place
            for path in made[:-1]:
                _give_back(path, target.with_name(path.name), aside / path.name)
        raise


def _give_back(new: Path, place: Path, old: Path) -> None:
    if not new.exists():
        place.unlink()
    if old.exists():
        old.replace(place)


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError(f"'{target}' is a folder.", "Name another --output.")
    if target.exists() and not overwrite:
        raise UsageError(f"'{target}' exists already.", "Replace it with --overwrite, or name another --output.")
