"""One store on the disk. It is written row by row under a temporary name and read as a whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from zoo.data.cache import FACTS, folder, is_temporary, remove
from zoo.data.pixels import Decoded, DecodeRequest
from zoo.data.sources import Source
from zoo.errors import UnreadablePictureError
from zoo.images.values import ValueLog
from zoo.progress import timestamp
from zoo.specs import PreprocessSpec

ARRAYS = ("pixels.npy", "wide.npy")


def read(request: DecodeRequest, *, in_memory: bool) -> Decoded | None:
    """Reads the finished store of a request, into memory or mapped. None where it is missing or damaged."""
    path = folder() / request.key
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        unreadable = {int(index): sentence for index, sentence in facts["unreadable"].items()}
        values = ValueLog.read(facts["values"])
        found = Decoded(load(path, request, in_memory=in_memory), unreadable, values)
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError):  # absent, or damaged
        return None
    count = len(request.sources) - len(found.unreadable)
    sides = [spec.image_size for spec in request.specs]
    if [array.shape for array in found.arrays] != [(count, side, side, 3) for side in sides]:
        return None
    if any(
        _can_be_read(request.sources[index]) for index in found.unreadable
    ):  # a change of permissions does not change the stamp
        return None
    with suppress(OSError):
        os.utime(path / FACTS)
    return found


def load(path: Path, request: DecodeRequest, *, in_memory: bool) -> tuple[np.ndarray, ...]:
    """The arrays of a store, finished or not. On POSIX, mapped arrays stay valid when the files are removed."""
    mode: Literal["r"] | None = None if in_memory else "r"
    return tuple(np.asarray(np.load(path / name, mmap_mode=mode)) for name in ARRAYS[: len(request.specs)])


def _can_be_read(source: Source) -> bool:
    try:
        source.read()
    except UnreadablePictureError:
        return False
    return True


class Writer:
    """Writes a store under a temporary name. Its lock must be held.

    Args:
        request: the pictures of the store.

    Raises:
        OSError: the folder cannot be written, or the disk is full. All methods except `discard` raise it.
    """

    def __init__(self, request: DecodeRequest) -> None:
        self.request, self.count = request, 0
        self.path = Path(tempfile.mkdtemp(prefix=f".{request.key}-", dir=folder()))
        self.files: list[BinaryIO] = []
        for name, spec in zip(ARRAYS, request.specs, strict=False):
            self.files.append((self.path / name).open("wb", buffering=2**20))
            _write_header(self.files[-1], spec, len(request.sources))

    def add(self, rows: tuple[np.ndarray, ...]) -> None:
        """Adds one picture in each size, uint8 `[R, R, 3]`."""
        for file, row in zip(self.files, rows, strict=True):
            file.write(row.data)
        self.count += 1

    def finish(self, unreadable: dict[int, str], values: ValueLog) -> None:
        """Writes the remaining data, and waits until all of it is on the disk."""
        for file, spec in zip(self.files, self.request.specs, strict=True):
            file.seek(0)
            _write_header(file, spec, self.count)
            _close(file)
        facts = {
            "source": self.request.origin,
            "num_pictures": self.count,
            "image_size": self.request.specs[0].image_size,
            "created": timestamp(),
            "unreadable": unreadable,
            "values": values.facts(),
        }
        with (self.path / FACTS).open("wb") as file:
            file.write(json.dumps(facts, indent=2).encode())
            _close(file)

    def publish(self) -> None:
        """Gives the finished store its name, and removes an unusable store of the same name."""
        final = folder() / self.request.key
        remove(final)
        self.path = self.path.rename(final)
        self.files.clear()

    def discard(self) -> None:
        """Removes the store if it was not published."""
        for file in self.files:
            with suppress(OSError):  # a full disk, again
                file.close()
        if is_temporary(self.path):
            shutil.rmtree(self.path, ignore_errors=True)


def _write_header(file: BinaryIO, spec: PreprocessSpec, count: int) -> None:
    # numpy leaves room for the first dimension to grow, so that a header can be written again.
    shape = (count, spec.image_size, spec.image_size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _close(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
