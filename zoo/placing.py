"""Where an artifact goes: nothing is there before it is whole, and what was there stays until then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import ExportError, UsageError, reason_of


def destination(folder: Path, stem: str, suffix: str, output: Path | str | None, *, overwrite: bool) -> Path:
    """The file to write. Raises `UsageError`, before any work, where it cannot be written.

    Args:
        folder: where it goes, as `stem` with `suffix`, unless `output` names another file.
    """
    if output is None:
        target = folder / f"{stem}{suffix}"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ExportError(f"'{folder}' cannot be made: {reason_of(error)}.", "Name another --output.") from None
    else:
        target = Path(output)
        if target.is_dir():
            raise UsageError(f"'{target}' is a folder.", f"Name a file in it: {target / stem}{suffix}")
        if not target.name.lower().endswith(suffix):
            target = target.with_name(target.name + suffix)
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder '{target.parent}'.", "Make it first, or name another --output.")
    _refuse_existing(target, overwrite=overwrite)
    return target


@contextmanager
def prepared(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Gives a place for a file of the target's name and others that belong to it; at the end they go to the target.

    Where the context ends with an error, what was there is there afterwards, and nothing else.

    Raises:
        UsageError: the target came to be meanwhile.
        ExportError: the operating system refuses to write.
    """
    folder = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        folder.mkdir()
        yield folder / target.name
        _place(folder, target, overwrite=overwrite)
    except OSError as error:
        raise ExportError(
            f"'{target}' cannot be written: {reason_of(error)}.", "Free the place, or name another --output."
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(folder: Path, target: Path, *, overwrite: bool) -> None:
    # The file itself goes last: it makes the others count.
    made = sorted(folder.iterdir(), key=lambda path: path.name == target.name)
    for path in made:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # after a power cut, a renamed file must not be empty
        _refuse_existing(target.with_name(path.name), overwrite=overwrite)
    for path in made:
        path.replace(target.with_name(path.name))


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.is_dir() or (target.exists() and not overwrite):
        raise UsageError(f"'{target}' exists already.", "Replace it with --overwrite, or name another --output.")
