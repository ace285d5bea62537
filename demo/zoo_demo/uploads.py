"""The pictures that visitors sent: the only files that a request can reach."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zoo.errors import DataError, ZooError
from zoo_demo import limits

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_MAX_NAME = 255
_SMALLEST = 2**16  # smaller files count as this: the number of files on a disk is limited, too


class FullError(ZooError):
    """The demo has no room for another upload now."""

    code = "uploads-full"


@dataclass(slots=True)
class _Entry:
    folder: Path
    begun: float
    name: str
    num_bytes: int = _SMALLEST
    batches: int = 0


class Uploads:
    """A folder of uploads with a quota; several threads may use one.

    Args:
        folder: an existing folder for uploads only.
        quota: bytes of all uploads together, also of those that are still arriving.
    """

    def __init__(self, folder: Path, quota: int = limits.MAX_STORED_BYTES) -> None:
        self.folder = folder.resolve()
        self.quota = quota
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        # Only paths from `new`: links, relative parts and other folders are never opened.
        self._ours = re.compile(re.escape(f"{self.folder}{os.sep}") + r"([0-9a-f]{32})" + re.escape(os.sep) + r"[\w.]+")

    def new(self, name: str) -> Path:
        """The path for the next upload, with only the suffix of the visitor's name. Raises `FullError`."""
        token = secrets.token_hex(16)
        entry = _Entry(self.folder / token, time.monotonic(), name[-_MAX_NAME:])
        with self._lock:
            self._make_room(_SMALLEST)
            self._entries[token] = entry
        entry.folder.mkdir()
        suffix = _SUFFIX.fullmatch(Path(name[-300:]).suffix)
        return entry.folder / f"picture{suffix[0] if suffix else ''}"

    def grown(self, path: Path, num_bytes: int) -> None:
        """Counts the bytes of an upload so far. Raises `FullError`, also if the upload was removed to make room."""
        with self._lock:
            entry = self._entries.get(path.parent.name)
            if entry is None:
                raise FullError("The upload took too long.", "Try again.", code="upload-late")
            more = max(num_bytes, _SMALLEST) - entry.num_bytes
            self._make_room(more)
            entry.num_bytes += more

    def discard(self, path: Path) -> None:
        """Removes one upload."""
        with self._lock:
            self._remove(path.parent.name)

    def sweep(self) -> None:
        """Removes uploads older than `limits.KEEP_SECONDS`, except those that are kept for a batch."""
        with self._lock:
            self._remove_older(limits.KEEP_SECONDS, but_batches=True)

    @contextmanager
    def kept(self, path: object) -> Iterator[str]:
        """Keeps an upload beyond its time, but not where others need the room. Yields its name. Raises as `find`."""
        entry = self._entries.get(self.find(path).parent.name)
        if entry is None:
            raise _not_ours()
        with self._lock:
            entry.batches += 1
        try:
            yield entry.name
        finally:
            with self._lock:
                entry.batches -= 1

    def find(self, path: object) -> Path:
        """The upload that a request names. Raises the same `DataError` for all other paths, existing or not."""
        found = self._ours.fullmatch(path) if isinstance(path, str) and len(path) < 4096 else None  # noqa: PLR2004
        if found and found[1] in self._entries:
            own = Path(found[0])
            with suppress(OSError):
                # lstat: a link inside the folder is never an upload.
                if stat.S_ISREG(own.lstat().st_mode) and own.parent.resolve() == own.parent:
                    return own
        raise _not_ours()

    def name(self, path: object) -> str:
        """The visitor's name of an upload: text, never a path. Raises as `find`."""
        entry = self._entries.get(self.find(path).parent.name)
        if entry is None:
            raise _not_ours()
        return entry.name

    def opened(self, path: object) -> BinaryIO:
        """An upload, opened for reading. Raises `DataError`."""
        own = self.find(path)
        # If a link or a pipe replaced the file, opening it would follow the link or wait.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            return os.fdopen(os.open(own, flags), "rb")
        except OSError:
            raise _not_ours() from None

    def read(self, path: object) -> bytes:
        """The bytes of an upload. Raises `DataError`."""
        try:
            with self.opened(path) as file:
                data = file.read(limits.MAX_UPLOAD_BYTES + 1)
        except OSError:
            raise _not_ours() from None
        if len(data) > limits.MAX_UPLOAD_BYTES:
            raise too_large()
        return data

    def _make_room(self, num_bytes: int) -> None:
        while sum(entry.num_bytes for entry in self._entries.values()) + num_bytes > self.quota:
            if not self._remove_older(limits.SPARED_SECONDS, most=1):
                raise FullError("The demo has no room for more uploads now.", "Try again in a minute.")

    def _remove_older(self, seconds: float, most: int | None = None, *, but_batches: bool = False) -> int:
        now = time.monotonic()
        entries = self._entries.items()
        old = [token for token, entry in entries if now - entry.begun > seconds and not (but_batches and entry.batches)]
        old = old[:most]
        for token in old:  # the oldest came first
            self._remove(token)
        return len(old)

    def _remove(self, token: str) -> None:
        entry = self._entries.pop(token, None)
        if entry:
            shutil.rmtree(entry.folder, ignore_errors=True)


def _not_ours() -> DataError:
    return DataError(
        f"This picture is not among the uploads. They are kept for {limits.KEEP_SECONDS // 60} minutes.",
        "Upload it again.",
        code="missing-upload",
    )


def too_large() -> DataError:
    """The error for a file of more than `limits.MAX_UPLOAD_BYTES`."""
    return DataError(
        f"The file has more than {limits.MAX_UPLOAD_BYTES // 10**6} MB.",
        "Send a smaller one, for example a JPEG.",
        code="upload-too-large",
    )
