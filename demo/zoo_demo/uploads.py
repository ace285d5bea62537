"""The pictures that visitors sent: the only files that a request can reach."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError, ZooError
from zoo_demo import limits

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_SMALLEST = 2**16  # what a file is counted as at least: a disk has a limited number of them, too


class FullError(ZooError):
    """There is no room for another upload now."""


@dataclass(slots=True)
class _Entry:
    folder: Path
    begun: float
    num_bytes: int = _SMALLEST


class Uploads:
    """A folder of uploads with a quota; several threads may use one.

    Args:
        folder: an existing folder that is used for nothing else.
        quota: bytes of all uploads together, those that are still arriving included.
    """

    def __init__(self, folder: Path, quota: int = limits.MAX_STORED_BYTES) -> None:
        self.folder = folder.resolve()
        self.quota = quota
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        # Nothing but what `new` returned: no link, no relative part, no other folder is even looked at.
        self._ours = re.compile(re.escape(f"{self.folder}{os.sep}") + r"([0-9a-f]{32})" + re.escape(os.sep) + r"[\w.]+")

    def new(self, name: str) -> Path:
        """Where to write the next upload; of the visitor's name for it only the suffix counts. Raises `FullError`."""
        token = secrets.token_hex(16)
        entry = _Entry(self.folder / token, time.monotonic())
        with self._lock:
            self._make_room(_SMALLEST)
            self._entries[token] = entry
        entry.folder.mkdir()
        suffix = _SUFFIX.fullmatch(Path(name[-300:]).suffix)
        return entry.folder / f"picture{suffix[0] if suffix else ''}"

    def grown(self, path: Path, num_bytes: int) -> None:
        """Counts an upload that has so many bytes now. Raises `FullError`, also where it made room for others."""
        with self._lock:
            entry = self._entries.get(path.parent.name)
            if entry is None:
                raise FullError("The upload took too long.", "Try again.")
            more = max(num_bytes, _SMALLEST) - entry.num_bytes
            self._make_room(more)
            entry.num_bytes += more

    def discard(self, path: Path) -> None:
        """Removes one upload."""
        with self._lock:
            self._remove(path.parent.name)

    def sweep(self) -> None:
        """Removes what is older than `limits.KEEP_SECONDS`."""
        with self._lock:
            self._remove_older(limits.KEEP_SECONDS)

    def find(self, path: object) -> Path:
        """The upload that a request names. Raises `DataError`, in the same words whatever else the path leads to."""
        found = self._ours.fullmatch(path) if isinstance(path, str) and len(path) < 4096 else None  # noqa: PLR2004
        if found and found[1] in self._entries:
            own = Path(found[0])
            with suppress(OSError):
                # lstat: a link inside the folder is none of ours, whoever made it.
                if stat.S_ISREG(own.lstat().st_mode) and own.parent.resolve() == own.parent:
                    return own
        raise DataError(
            f"This picture is not among the uploads, where it stays for {limits.KEEP_SECONDS // 60} minutes at most.",
            "Upload it again.",
        )

    def read(self, path: object) -> bytes:
        """The bytes of an upload. Raises `DataError`."""
        own = self.find(path)
        # A link or a pipe that took its place since would be followed, or waited for.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            with os.fdopen(os.open(own, flags), "rb") as file:
                data = file.read(limits.MAX_UPLOAD_BYTES + 1)
        except OSError:
            raise _not_ours() from None
        if len(data) > limits.MAX_UPLOAD_BYTES:
            raise too_large()
        return data

    def _make_room(self, num_bytes: int) -> None:
        while sum(entry.num_bytes for entry in self._entries.values()) + num_bytes > self.quota:
            if not self._remove_older(limits.SPARED_SECONDS, most=1):
                raise FullError("The demo holds as many uploads as it may.", "Try again in a minute.")

    def _remove_older(self, seconds: float, most: int | None = None) -> int:
        now = time.monotonic()
        old = [token for token, entry in self._entries.items() if now - entry.begun > seconds][:most]
        for token in old:  # the oldest came first
            self._remove(token)
        return len(old)

    def _remove(self, token: str) -> None:
        entry = self._entries.pop(token, None)
        if entry:
            shutil.rmtree(entry.folder, ignore_errors=True)


def _not_ours() -> DataError:
    return DataError(
        f"This picture is not among the uploads, where it stays for {limits.KEEP_SECONDS // 60} minutes at most.",
        "Upload it again.",
    )


def too_large() -> DataError:
    """What a file of more than `limits.MAX_UPLOAD_BYTES` is told."""
    return DataError(
        f"The file has more than {limits.MAX_UPLOAD_BYTES // 10**6} MB.", "Send a smaller one, for instance a JPEG."
    )
