"""Atomic writes: a file is written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def temporary_name(path: Path) -> Path:
    """Where `write_atomically` first writes a file: in the same folder."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary path, then renames the file. Readers see the old file or the new one."""
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
    """The weights file of an artifact that keeps its weights outside."""
    return path.with_name(f"{path.name}.data")
