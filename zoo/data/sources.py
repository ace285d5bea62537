"""One picture, wherever it is: a file, the bytes of a file, pixels, or an item of another library's dataset."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from zoo.data.stamps import Identity, Stamp, identity, stamp
from zoo.errors import UnreadablePictureError, raised
from zoo.images import as_picture, read_header, read_picture
from zoo.images.complete import seems_complete
from zoo.images.read import Admit
from zoo.images.values import Observe, Range


class Source(Protocol):
    """A picture that is decoded when it is read.

    Attributes:
        name: for messages: the path, or `picture 12`.
        path: of its file, if it is one.
        key: text that tells it from all other sources of this process; equal for equal sources.
        lasting: whether another process finds the same picture under the same key.
    """

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path | None: ...

    @property
    def key(self) -> str: ...

    @property
    def lasting(self) -> bool: ...

    def read(
        self, admit: Admit | None = None, pixel_range: Range | None = None, observe: Observe | None = None
    ) -> np.ndarray:
        """The picture, uint8 `[H, W, 3]`. Arguments and errors as of `zoo.images.read_picture`."""
        ...

    def dimensions(self) -> tuple[int, int]:
        """Width and height in pixels; it decodes nothing if it can. Raises `UnreadablePictureError`."""
        ...

    def num_bytes(self) -> int:
        """Bytes to read, 0 where that is unknown."""
        ...

    def seems_complete(self) -> bool:
        """As `zoo.images.complete.seems_complete`. Raises `UnreadablePictureError`, or `OSError` if it vanished."""
        ...

    def stamp(self) -> Stamp | None:
        """Of its present content. None where nothing is known of it."""
        ...

    def identity(self) -> Identity | None:
        """Equal for two names of one picture. None where nothing is known of it."""
        ...

    def encoded(self) -> tuple[bytes, str]:
        """The content of a picture file, and the suffix of its name. Raises `OSError`, `UnreadablePictureError`."""
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """A picture file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def key(self) -> str:
        return str(self.path)

    @property
    def lasting(self) -> bool:
        return True

    def read(
        self, admit: Admit | None = None, pixel_range: Range | None = None, observe: Observe | None = None
    ) -> np.ndarray:
        return read_picture(self.path, admit=admit, pixel_range=pixel_range, observe=observe)

    def dimensions(self) -> tuple[int, int]:
        return read_header(self.path)[:2]

    def num_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def seems_complete(self) -> bool:
        return seems_complete(self.path)

    def stamp(self) -> Stamp | None:
        return stamp(self.path)

    def identity(self) -> Identity:
        return identity(self.path)

    def encoded(self) -> tuple[bytes, str]:
        return self.path.read_bytes(), self.path.suffix


@dataclass(frozen=True)
class BytesSource:
    """The bytes of a picture file."""

    data: bytes
    name: str
    path: None = None
    lasting: bool = True

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def read(
        self, admit: Admit | None = None, pixel_range: Range | None = None, observe: Observe | None = None
    ) -> np.ndarray:
        with _named(self.name):
            return read_picture(self.data, admit=admit, pixel_range=pixel_range, observe=observe)

    def dimensions(self) -> tuple[int, int]:
        with _named(self.name):
            return read_header(self.data)[:2]

    def num_bytes(self) -> int:
        return len(self.data)

    def seems_complete(self) -> bool:
        self.dimensions()
        return False

    def stamp(self) -> Stamp:
        return Stamp(len(self.data), 0, self.key, 0)

    def identity(self) -> str:
        return self.key

    def encoded(self) -> tuple[bytes, str]:
        with _named(self.name):
            return self.data, f".{read_header(self.data).format.lower()}"


class Items:
    """Pictures that another library gives one by one. One thread asks at a time: few such datasets allow more.

    Args:
        get: takes a number; returns what `zoo.images.as_picture` takes.
    """

    def __init__(self, get: Callable[[int], Any]) -> None:
        self._get, self._lock = get, threading.Lock()

    def read(self, number: int, name: str, pixel_range: Range | None) -> np.ndarray:
        """Raises `UnreadablePictureError`, whatever the library raises."""
        try:
            with self._lock:
                found = self._get(number)
        except Exception as error:
            raise UnreadablePictureError(
                f"{name} cannot be read: its dataset raised {raised(error)}.",
                "Fix the dataset, or leave the picture out.",
                code="item-failed",
            ) from error
        with _named(name):
            return as_picture(found, pixel_range)


@dataclass(frozen=True)
class ItemSource:
    """One of `Items`."""

    items: Items
    number: int
    name: str
    path: None = None
    lasting: bool = False

    @property
    def key(self) -> str:
        return f"{id(self.items)}:{self.number:012}"

    def read(
        self,
        admit: Admit | None = None,
        pixel_range: Range | None = None,
        observe: Observe | None = None,  # noqa: ARG002 (its types are the library's)
    ) -> np.ndarray:
        picture = self.items.read(self.number, self.name, pixel_range)
        if admit:
            admit(picture.shape[0] * picture.shape[1])
        return picture

    def dimensions(self) -> tuple[int, int]:
        height, width = self.read().shape[:2]
        return width, height

    def num_bytes(self) -> int:
        return 0

    def seems_complete(self) -> bool:
        return False

    def stamp(self) -> None:
        return None

    def identity(self) -> None:
        return None

    def encoded(self) -> tuple[bytes, str]:
        return _png(self.read())


@dataclass(frozen=True)
class ArraySource:
    """Pixels, uint8 `[H, W]` or `[H, W, 3]`."""

    array: np.ndarray
    name: str
    path: None = None
    lasting: bool = True

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(repr(self.array.shape).encode() + self.array.tobytes()).hexdigest()

    def read(
        self,
        admit: Admit | None = None,  # noqa: ARG002 (nothing is decoded)
        pixel_range: Range | None = None,  # noqa: ARG002 (8 bits have none)
        observe: Observe | None = None,  # noqa: ARG002
    ) -> np.ndarray:
        grey = self.array.ndim == 2  # noqa: PLR2004
        return np.repeat(self.array[:, :, None], 3, axis=2) if grey else self.array

    def dimensions(self) -> tuple[int, int]:
        height, width = self.array.shape[:2]
        return width, height

    def num_bytes(self) -> int:
        return int(self.array.nbytes)

    def seems_complete(self) -> bool:
        return True

    def stamp(self) -> Stamp:
        return Stamp(self.num_bytes(), 0, self.key, 0)

    def identity(self) -> str:
        return self.key

    def encoded(self) -> tuple[bytes, str]:
        return _png(self.array)


def _png(picture: np.ndarray) -> tuple[bytes, str]:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue(), ".png"


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Lets the error of a picture without a name have one."""
    try:
        yield
    except UnreadablePictureError as error:
        first, rest = name[0].upper() + name[1:], error.cause
        error.cause = first + rest.removeprefix("The picture") if rest.startswith("The picture") else f"{first}: {rest}"
        raise
