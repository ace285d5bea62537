"""The pictures in a zip from a visitor. Members are read one by one into memory; their names are only text.

What is a picture, and what is skipped, is decided as in a folder (`zoo.images.find`).
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import BinaryIO

from zoo.errors import DataError
from zoo.images import is_picture
from zoo.images.find import FOREIGN_SUFFIXES
from zoo.images.formats import HEAD_BYTES, picture_format
from zoo.images.skipped import is_of_the_system
from zoo_demo.limits import (
    MAX_BATCH_PICTURES,
    MAX_UNPACKED_BYTES,
    MAX_UPLOAD_BYTES,
    MAX_ZIP_LIST_BYTES,
    MAX_ZIP_RATIO,
)

_TAILS = 2 * (2**16 + 100)  # that Python reads to find the list of members
_HEADER_BYTES = 30  # before each member, at least
_ENCRYPTED, _UTF8 = 0x1, 0x800  # https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.4.4
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FREE_BYTES = 10**6  # small members may be as compressed as they like
_AGAIN = "Create the zip again."


@dataclass(frozen=True, slots=True)
class Member:
    """A picture in a zip.

    Attributes:
        name: its path in the zip, as text.
        refused: why it is not read.
    """

    name: str
    info: zipfile.ZipInfo
    refused: DataError | None = None


class PictureZip:
    """The pictures in a zip; `close` it.

    Args:
        file: the zip, open for reading.

    Attributes:
        members: its pictures, sorted as a folder is; some of them are refused.
        skipped: how many files are no pictures, hidden, or of the system.

    Raises:
        DataError: it is damaged or not a zip, or beyond a limit. The file is closed then.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = _Frugal(file)
        try:
            self._zip = _list_of(self._file)
            self._file.left = None
            infos = self._zip.infolist()
            _check_overlaps(infos, self._zip.start_dir)
            self.members, self.skipped = self._sorted_out(infos)
            _check_sizes(self.members)
            # The list holds also what is skipped, up to ten megabytes of objects.
            infos.clear()
            self._zip.NameToInfo.clear()
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Closes the file, too."""
        self._zip.close()
        self._file.close()

    def read(self, member: Member) -> bytes:
        """The bytes of a picture. Raises `DataError`."""
        if member.refused:
            raise member.refused
        size = member.info.file_size
        data = self._head(member.info, size)
        if data is None or len(data) != size:
            raise DataError("It is damaged in the zip.", _AGAIN, code="damaged-zip-member")
        return data

    def _head(self, info: zipfile.ZipInfo, num_bytes: int) -> bytes | None:
        """The first bytes of a member; None if it is damaged."""
        try:
            with self._zip.open(info) as file:
                return file.read(num_bytes)
        except Exception:  # as for the list
            return None

    def _sorted_out(self, infos: Sequence[zipfile.ZipInfo]) -> tuple[list[Member], int]:
        members, skipped = [], 0
        for info in infos:
            name = _name(info)
            path = PurePosixPath(name)
            if name.endswith("/") or not path.parts:
                continue
            if _is_hidden(path) or not self._is_picture(info, path):
                skipped += 1
            else:
                members.append(Member(str(path), info, _refusal(info, path)))
        return sorted(members, key=lambda member: PurePosixPath(member.name)), skipped

    def _is_picture(self, info: zipfile.ZipInfo, path: PurePosixPath) -> bool:
        suffix = path.suffix.lower()
        if is_picture(path) or suffix in FOREIGN_SUFFIXES or suffix == ".zip":  # type: ignore[arg-type]
            return True
        if _refusal(info, path):
            return False
        return picture_format(self._head(info, HEAD_BYTES) or b"") is not None


class _Frugal:
    """A file that gives few bytes until the list of members has been read.

    Attributes:
        left: bytes that may be read; None for all.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left: int | None = MAX_ZIP_LIST_BYTES + _TAILS
        self.seek, self.tell, self.close, self.seekable = file.seek, file.tell, file.close, file.seekable

    def read(self, num_bytes: int = -1) -> bytes:
        if self.left is None:
            return self._file.read(num_bytes)
        data = self._file.read(self.left + 1 if num_bytes < 0 else min(num_bytes, self.left + 1))
        if len(data) > self.left:
            raise too_many()
        self.left -= len(data)
        return data


def _list_of(file: _Frugal) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except DataError:
        raise
    except Exception:  # Python raises errors of many classes for damaged ones
        cause = "The zip cannot be read: it is damaged, or not a zip."
        raise DataError(cause, _AGAIN, code="damaged-zip") from None


def too_many() -> DataError:
    """The error for more than `MAX_BATCH_PICTURES`."""
    cause = f"There are more than {MAX_BATCH_PICTURES:,} pictures."
    return DataError(cause, "Send them in several parts.", code="too-many-pictures")


def _check_overlaps(infos: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Members that share bytes unpack to far more than the zip has (https://www.bamsoftware.com/hacks/zipbomb/)."""
    spans = sorted((info.header_offset, info.compress_size) for info in infos)
    for (start, size), (following, _) in pairwise([*spans, (end, 0)]):
        if start < 0 or start + _HEADER_BYTES + size > following:
            raise DataError("Files in the zip overlap.", _AGAIN, code="zip-overlap")


def _check_sizes(members: Sequence[Member]) -> None:
    read = [member for member in members if not member.refused]
    if len(members) > MAX_BATCH_PICTURES:
        raise too_many()
    if sum(member.info.file_size for member in read) > MAX_UNPACKED_BYTES:
        cause = f"The pictures in the zip have more than {MAX_UNPACKED_BYTES // 10**6} MB."
        raise DataError(cause, "Send them in several parts.", code="zip-too-large")


def _name(info: zipfile.ZipInfo) -> str:
    """The name with slashes. Where nothing says how it is encoded, it may be UTF-8 nevertheless."""
    name = info.filename.replace("\\", "/")
    if info.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _is_hidden(path: PurePosixPath) -> bool:
    folders = [part for part in path.parts[:-1] if part != ".."]
    hidden = any(part.startswith(".") or is_of_the_system(part, folder=True) for part in folders)
    return hidden or path.name.startswith(".") or is_of_the_system(path.name, folder=False)


def _refusal(info: zipfile.ZipInfo, path: PurePosixPath) -> DataError | None:
    """Why a member is not read: the first rule that it breaks."""
    suffix, megabytes = path.suffix.lower(), MAX_UPLOAD_BYTES // 10**6
    outside = path.is_absolute() or ".." in path.parts or path.parts[0].endswith(":")  # as C:
    rules = (
        (outside, DataError("Its path leads out of the zip.", _AGAIN, code="zip-path")),
        (stat.S_ISLNK(info.external_attr >> 16), DataError("It is a link.", _AGAIN, code="zip-link")),
        (
            info.flag_bits & _ENCRYPTED,
            DataError("It is encrypted.", "Create the zip without a password.", code="zip-encrypted"),
        ),
        (suffix == ".zip", DataError("It is a zip in a zip.", "Send it by itself.", code="zip-nested")),
        (
            suffix in FOREIGN_SUFFIXES,
            DataError(f"zoo does not decode {suffix} files.", "Save it as JPEG or PNG.", code="zip-foreign"),
        ),
        (
            info.compress_type not in _METHODS,
            DataError("It is compressed in a way that the demo cannot read.", _AGAIN, code="zip-method"),
        ),
        (
            info.file_size > MAX_UPLOAD_BYTES,
            DataError(f"It has more than {megabytes} MB.", "Send a smaller picture.", code="zip-member-too-large"),
        ),
        (
            info.file_size > _FREE_BYTES + MAX_ZIP_RATIO * info.compress_size,
            DataError(
                f"It unpacks to more than {MAX_ZIP_RATIO} times its size.", "Send it by itself.", code="zip-ratio"
            ),
        ),
    )
    return next((error for broken, error in rules if broken), None)
