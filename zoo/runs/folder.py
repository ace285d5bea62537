"""Makes the folder of a run, and holds it while a training is at work in it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zoo.errors import UsageError, reason_of
from zoo.files import remove_abandoned
from zoo.recipes.recipe import Recipe
from zoo.runs.run import RUNS


def create_folder(recipe: Recipe, output: Path | None) -> tuple[Path, int]:
    """Finds the folder of a new run, and says how many folders had to be made: it and those around it.

    Raises `UsageError` where it holds files already or cannot be written.
    """
    if output is None:
        dataset = re.sub(r"[^\w.-]+", "-", Path(recipe.dataset).stem).strip("-.") or "pictures"
        name = re.sub(r"[^\w.-]+", "-", f"{recipe.backbone}-{dataset}-{time.strftime('%Y%m%d-%H%M%S')}")
        made = _missing(RUNS / name)
        return _make(RUNS / name, exist_ok=False), made
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        resumable = (output / "run.json").exists() and (output / "last.ckpt").exists()
        again = f"Continue its run with: zoo train --resume {output}, or name" if resumable else "Name"
        raise UsageError(
            f"The folder {output} is not empty.", f"{again} another folder with --output.", code="not-empty"
        )
    made = _missing(output)
    return _make(output, exist_ok=True), made


def _missing(folder: Path) -> int:
    return sum(not each.exists() for each in (folder, *folder.parents))


def create_folder_at(folder: Path) -> Path:
    """Makes a folder that may exist. Raises `UsageError` where it cannot be written."""
    return _make(folder, exist_ok=True)


def _make(folder: Path, *, exist_ok: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except FileExistsError:  # another run began in the same second
        if exist_ok:
            raise UsageError(f"{folder} is a file.", "Name another folder with --output.") from None
        return _make(folder.with_name(folder.name + "x"), exist_ok=exist_ok)
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be written: {reason_of(error)}.", "Name another folder with --output."
        ) from None
    return folder


@contextmanager
def in_use(folder: Path, *, here: bool = True) -> Iterator[None]:
    """Keeps other trainings out of a run folder while the context is open, where its file system has locks.

    Unfinished files that a killed training left are removed.

    Args:
        here: False in processes of the same training that write nothing.

    Raises:
        UsageError: a training is at work in it.
    """
    from filelock import FileLock, Timeout

    if not here:
        yield
        return
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"Another training uses the folder {folder}.", "Wait until it ends.", code="run-busy"
        ) from None
    except (OSError, NotImplementedError):  # this file system has no locks
        pass
    try:
        remove_abandoned(folder)
        yield
    finally:
        if lock.is_locked:
            (folder / ".lock").unlink(missing_ok=True)
            lock.release()


def remove_unfinished(folder: Path, *, made: int) -> None:
    """Removes what a run wrote that ended before its first epoch, and as many folders as the run had made."""
    with suppress(OSError):  # an error is on its way already
        for name in ("recipe.toml", "run.json", "metrics.csv", "curves.png"):
            (folder / name).unlink(missing_ok=True)
        for each in (folder, *folder.parents)[:made]:
            each.rmdir()
