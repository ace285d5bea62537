"""The pictures of a batch: files that a visitor sent, and what is in zips among them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath

from zoo.errors import DataError, UsageError, ZooError
from zoo_demo.limits import MAX_BATCH_PICTURES, MAX_ZIPS
from zoo_demo.texts import Language, say
from zoo_demo.uploads import Uploads
from zoo_demo.zips import PictureZip, too_many


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a batch.

    Attributes:
        name: for people; never a path to open.
        read: gives the bytes of its file. Raises `ZooError`.
        refused: whether it is known that it will raise.
    """

    name: str
    read: Callable[[], bytes]
    refused: bool = False


@dataclass(slots=True)
class Given:
    """The pictures of a batch, and how many other files there were in its zips."""

    pictures: list[Picture] = field(default_factory=list)
    skipped: int = 0


@contextmanager
def given(paths: str, uploads: Uploads, language: Language) -> Iterator[Given]:
    """The pictures of a batch. Its files are kept, and the zips among them open, until the context ends.

    The pictures of a single zip have their paths in it as names. Beside other files, a zip counts as a folder.

    Args:
        paths: of uploads, as a list in JSON.

    Raises:
        ZooError: there are none, too many, or one is not among the uploads.
    """
    named = _parsed(paths)
    if not named:
        raise UsageError(say("batch.none", language), say("batch.none-remedy", language), code="no-picture")
    found, zips = Given(), 0
    with ExitStack() as stack:
        for path in named:
            name = stack.enter_context(uploads.kept(path))
            if uploads.find(path).suffix.lower() == ".zip":
                zips += 1
                if zips > MAX_ZIPS:
                    raise DataError(f"There are more than {MAX_ZIPS} zips.", "Send fewer.", code="too-many-zips")
                _add_zip(path, name, found, uploads, stack, alone=len(named) == 1)
            else:
                found.pictures.append(Picture(name, partial(uploads.read, path)))
            if len(found.pictures) > MAX_BATCH_PICTURES:
                raise too_many()
        yield found


def _parsed(paths: str) -> list[str]:
    try:
        read = json.loads(paths)
    except (ValueError, TypeError, RecursionError):
        return []
    return [path for path in read if isinstance(path, str)] if isinstance(read, list) else []


def _add_zip(path: str, name: str, found: Given, uploads: Uploads, stack: ExitStack, *, alone: bool) -> None:
    try:
        opened = stack.enter_context(closing(PictureZip(uploads.opened(path))))
    except ZooError as error:
        if alone:
            raise
        found.pictures.append(Picture(name, partial(_fail, error), refused=True))
        return
    folder = PurePosixPath() if alone else PurePosixPath(PurePosixPath(name).stem)
    found.skipped += opened.skipped
    found.pictures += [
        Picture(str(folder / member.name), partial(opened.read, member), member.refused is not None)
        for member in opened.members
    ]


def _fail(error: ZooError) -> bytes:
    raise error
