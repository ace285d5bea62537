"""Stores of decoded pictures on the disk, shared between runs.

::

    <the user's cache folder>/visionzoo/pixels/
        KEY/                 a finished store; KEY stands for the files and the settings (`DecodeRequest.key`)
            pixels.npy       uint8 [n, S, S, 3]
            wide.npy         uint8 [n, R, R, 3], where augmentation wanted more detail
            store.json       what it holds; its time of change says when the store was used last
        .KEY-.../            one that is being written or removed, or was when its process died
        KEY.lock             held by the process that writes; the system frees it when that process dies

A store gets its name when it is complete, and is never changed after that: reading needs no lock. Files are
written from front to back, because a full disk then gives an error, and not a signal when a page of a mapping
finds no room.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from filelock import BaseFileLock

FACTS = "store.json"
NAME = re.compile(r"\.?(?P<key>[0-9a-f]{32})(-.*|\.lock)?")


def folder() -> Path:
    """Where the stores lie; it need not exist."""
    return platformdirs.user_cache_path("visionzoo") / "pixels"


@contextmanager
def locked(key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of a store while the context is open.

    Args:
        waiting: called before it waits for another process.

    Raises:
        OSError: the folder cannot be written.
    """
    from filelock import Timeout

    folder().mkdir(parents=True, exist_ok=True)
    lock = _lock(key)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(key: str) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(folder() / f"{key}.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A finished store.

    Attributes:
        last_used: seconds since 1970.
    """

    path: Path
    source: str
    num_pictures: int
    image_size: int
    num_bytes: int
    last_used: float


def entries() -> list[Entry]:
    """The finished stores, the one used last first. Raises `OSError` where the folder cannot be read."""
    found = [_entry(path) for key, path in _places() if path.name == key]
    return sorted((entry for entry in found if entry), key=lambda entry: -entry.last_used)


def _entry(path: Path) -> Entry | None:
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        return Entry(
            path=path,
            source=str(facts["source"]),
            num_pictures=int(facts["num_pictures"]),
            image_size=int(facts["image_size"]),
            num_bytes=_size(path),
            last_used=(path / FACTS).stat().st_mtime,
        )
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or just removed
        return None


def make_room(num_bytes: int, budget: int, *, key: str) -> None:
    """Removes what dead processes left or nobody can read, and the stores used longest ago until one more has room.

    Args:
        num_bytes: what the new store needs.
        budget: largest size of all stores together, in bytes.
        key: of the new store, whose lock is held.

    Raises:
        OSError: the disk has too little room.
    """
    for other, path in _places():
        if path.is_dir() and (is_temporary(path) or _entry(path) is None):
            with _if_free(other) if other != key else nullcontext(True) as is_free:
                if is_free:
                    shutil.rmtree(path, ignore_errors=True)
    found = entries()
    used, free = sum(_size(path) for _, path in _places()), shutil.disk_usage(folder()).free
    if free + sum(entry.num_bytes for entry in found) < num_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while found and (used + num_bytes > budget or free < num_bytes):
        oldest = found.pop()
        remove(oldest.path)
        used, free = used - oldest.num_bytes, free + oldest.num_bytes


def clear() -> tuple[int, int]:
    """Removes all that no process is writing. Raises `OSError` where the folder cannot be read.

    Returns:
        the bytes that became free, and the number of stores that are being written.
    """
    freed, busy = 0, 0
    for key in {key for key, _ in _places()}:
        with _if_free(key) as is_free:
            busy += not is_free
            for path in [path for other, path in _places() if is_free and other == key]:
                freed += _size(path)
                remove(path)
    return freed, busy


@contextmanager
def _if_free(key: str) -> Iterator[bool]:
    """Holds the lock of a store where no other process does; says whether."""
    from filelock import Timeout

    lock = _lock(key)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def remove(path: Path) -> None:
    """Removes a store at once for all who look for it, and lets those read on who have it open; or removes a lock."""
    with suppress(OSError):  # another process was faster, or the system keeps what is open
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        gone = path.with_name(f".{path.name.lstrip('.').partition('-')[0]}-{os.getpid()}-{time.monotonic_ns()}")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """Whether a store has not got its name yet, or has lost it."""
    return path.name.startswith(".")


def _places() -> list[tuple[str, Path]]:
    """All that is in the folder with the key it belongs to."""
    paths = list(folder().iterdir()) if folder().exists() else []
    return [(match["key"], path) for path in paths if (match := NAME.fullmatch(path.name))]


def _size(path: Path) -> int:
    with suppress(OSError):
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    return 0
