"""Puts an exported file in its place when it is complete. Until then, an older file stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import ExportError, UsageError, reason_of
from zoo.files import data_path, work_folder


def names_folder(output: Path | str | None) -> bool:
    """Whether an output ends in a slash; a `Path` cannot tell."""
    return isinstance(output, str) and output.endswith(("/", os.sep))


def destination(
    folder: Path, stem: str, suffix: str, output: Path | str | None, *, overwrite: bool, data: bool = False
) -> Path:
    """The file to write. Raises `UsageError`, before any work, if it cannot be written.

    Args:
        folder: the default folder; the file is `stem` with `suffix`. `output` names another file, or another folder if
            it ends in a slash.
        data: whether a weights file is written beside it.
    """
    if output is None:
        target = folder / f"{stem}{suffix}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            cause = f"Folder '{folder}' cannot be created: {reason_of(error)}."
            raise ExportError(cause, "Choose another --output.", code="folder-not-created") from None
    elif names_folder(output):
        target = Path(output) / f"{stem}{suffix}"
    else:
        target = Path(output)
        if target.is_dir():
            remedy = f"Give a file in it, for example {target / stem}{suffix}"
            raise UsageError(f"'{target}' is a folder.", remedy, code="output-is-folder")
        if not target.name.lower().endswith(suffix):
            target = target.with_name(target.name + suffix)
    if not target.parent.is_dir():
        remedy = "Create it first, or choose another --output."
        raise UsageError(f"Folder '{target.parent}' does not exist.", remedy, code="missing-folder")
    for path in (target, data_path(target)) if data else (target,):
        _refuse_existing(path, overwrite=overwrite)
    return target


@contextmanager
def prepared(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a temporary path for the target and for files beside it, and moves all of them to the target at the end.

    If the context ends with an error, the old files are in place again and nothing is left over.

    Raises:
        UsageError: another process created the target while this one was running.
        ExportError: the operating system cannot write the file.
    """
    try:
        with work_folder(target.parent) as folder:
            new = folder / "new"
            new.mkdir()
            yield new / target.name
            _place(new, target, folder, overwrite=overwrite)
    except OSError as error:
        raise ExportError(
            f"'{target}' cannot be written: {reason_of(error)}.",
            "Fix that and retry, or choose another --output.",
            code="output-not-written",
        ) from None


def _place(new: Path, target: Path, aside: Path, *, overwrite: bool) -> None:
    # The file itself goes last: it refers to the others.
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
    except BaseException:  # also on Ctrl-C: a file with the weights of another one would be broken
        if made[-1].exists():  # else everything is in place
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
        raise UsageError(f"'{target}' is a folder.", "Choose another --output.", code="output-is-folder")
    if target.exists() and not overwrite:
        remedy = "Add --overwrite to replace it, or choose another --output."
        raise UsageError(f"'{target}' already exists.", remedy, code="output-exists")
