"""The file that an option names to be written: refused before any work, replaced whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import MissingExtraError, UsageError, reason_of


def check_target(path: Path, option: str, what: str, *suffixes: str) -> None:
    """Checks an output path before the work starts: after an hour of work it is too late.

    Args:
        option: that names the file.
        what: the start of a sentence: `A preview is a PNG file`.
        suffixes: of its kind, in lower case with the dot; the first one is advised.

    Raises:
        UsageError: the suffix is another, the path is a folder, or nothing can be written there.
    """
    with writing(path, option):
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", f"Name a file with {option}.")
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"{what}, and '{path}' has another suffix.", f"Give {option} NAME{suffixes[0]}")
        if not path.parent.is_dir():
            raise UsageError(f"The folder {path.parent} was not found.", f"Make it, or name another with {option}.")
        from zoo.files import temporary_name

        probe = temporary_name(path)
        probe.touch()
        probe.unlink()


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Turns an error of the operating system into a `UsageError`."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {reason_of(error)}.", f"Name another file with {option}."
        ) from None


def require_train_extra(purpose: str, *modules: str) -> None:
    """Raises `MissingExtraError` unless the modules are installed; `purpose` is the start of its sentence."""
    from importlib.util import find_spec

    if not all(map(find_spec, modules)):
        raise MissingExtraError(purpose, "train")
