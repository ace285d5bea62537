"""Files that readers see whole: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Another machine may write into the same folder, and has other processes with the same numbers.
_HOST = re.sub(r"[^A-Za-z0-9]+", "_", platform.node()) or "host"


def temporary_name(path: Path) -> Path:
    """Beside a file, where `write_atomically` makes it."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.tmp")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make a file under a temporary name, then renames it: readers see the old or the new one.

    The file is as readable as any new file of this user, whatever `write` made of it.
    """
    temporary = temporary_name(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        if temporary.stat().st_mode != mode:  # safetensors lets the owner alone read
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A folder for unfinished files inside `parent`; it is removed at the end. Those of ended processes go, too."""
    remove_abandoned(parent)
    with TemporaryDirectory(prefix=f".zoo-{_HOST}-{os.getpid()}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def remove_abandoned(folder: Path) -> None:
    """Removes unfinished files and work folders that processes of this machine left when they were killed."""
    pattern = re.compile(rf"\.(?:zoo-|.+\.){re.escape(_HOST)}-(\d+)(?:-.*|\.tmp)")
    with suppress(OSError):
        for path in folder.iterdir():
            match = pattern.fullmatch(path.name)
            if match and not _alive(int(match[1])):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically. File names that are not UTF-8 keep their bytes."""
    write_atomically(path, lambda file: _write(file, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A value as JSON that can be written as UTF-8, and read back as it was.

    Bytes of a file name that are not UTF-8 are lone surrogates in Python, which JSON can escape.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def data_path(path: Path) -> Path:
    """Where the weights of an artifact lie, if they do not lie inside."""
    return path.with_name(f"{path.name}.data")
