"""Files that readers see whole: written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def temporary_name(path: Path) -> Path:
    """Beside a file, where `write_atomically` makes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make a file under a temporary name, then renames it: readers see the old or the new one."""
    temporary = temporary_name(path)
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    write_atomically(path, lambda file: _write(file, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def data_path(path: Path) -> Path:
    """Where the weights of an artifact lie, if they do not lie inside."""
    return path.with_name(f"{path.name}.data")
