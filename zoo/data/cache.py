"""Stores of decoded pictures on the disk, shared between runs.

::

    <the user's cache folder>/visionzoo/pixels/
        KEY/                 a finished store; KEY is a hash of the files and the settings (`DecodeRequest.key`)
            pixels.npy       uint8 [n, S, S, 3]
            wide.npy         uint8 [n, R, R, 3], where augmentation needs more detail
            store.json       its contents; the modification time tells when the store was last used
        .KEY-.../            a store that is being written or removed, or whose process died meanwhile
        KEY.lock             held by the process that writes; the system frees it when that process dies

A store gets its name when it is complete and never changes after that, so reading needs no lock. Files are written from
front to back: a full disk then gives an error. With a memory-mapped file it would give a signal.
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
    """The folder of the stores. It may be missing."""
    return platformdirs.user_cache_path("visionzoo") / "pixels"


@contextmanager
def locked(key: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of a store while the context is open.

    Args:
        waiting: called before a wait for another process.

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
    """The finished stores, the last used one first. Raises `OSError` where the folder cannot be read."""
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
    """Removes unfinished and damaged stores, then the least recently used ones, until a new store has room.

    Args:
        num_bytes: size of the new store.
        budget: largest size of all stores together, in bytes.
        key: of the new store. Its lock must be held.

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
    """Removes all stores except those that a process is writing. Raises `OSError` where the folder cannot be read.

    Returns:
        the number of freed bytes, and the number of stores that are being written.
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
    """Tries to hold the lock of a store. Yields whether it does."""
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
    """Removes a store or a lock. Processes that have the store open can still read it."""
    with suppress(OSError):  # another process was faster, or the system keeps open files
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        gone = path.with_name(f".{path.name.lstrip('.').partition('-')[0]}-{os.getpid()}-{time.monotonic_ns()}")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """Whether a store is unfinished or being removed."""
    return path.name.startswith(".")


def _places() -> list[tuple[str, Path]]:
    """Everything in the folder, each with its key."""
    paths = list(folder().iterdir()) if folder().exists() else []
    return [(match["key"], path) for path in paths if (match := NAME.fullmatch(path.name))]


def _size(path: Path) -> int:
    with suppress(OSError):
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    return 0
