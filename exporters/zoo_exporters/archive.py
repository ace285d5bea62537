"""Zip files that PyTorch writes: the card is one extra entry, `extra/card.json`. The other entries are the content.

These are the functions of `zoo.specs.ExporterSpec` that need no torch, for any such format. PyTorch has its own zip
reader. So that both readers see the same entries, a file must have the layout that `repack` writes: known names,
uncompressed entries back to back from the first byte, then the directory, and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zoo.errors import ArtifactError, ExportError, reason_of
from zoo.specs import MAX_CARD_BYTES

MAX_ENTRIES = 20_000
MAX_DIRECTORY_BYTES = 4 * 2**20
# Operators that zoo's exports never use, and that access files or foreign memory: first those that tensors also have
# as methods, then functions.
REFUSED_METHODS = r"save|from_file|set_|_?resize\w*_"
REFUSED_FUNCTIONS = r"_(sparse|nested|make)\w*|sparse_\w+_tensor\w*"

_ROOT = "archive"  # what PyTorch calls the folder in a zip that it writes into memory
_CARD = "extra/card.json"
# https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7, 4.3.14 and 4.3.16
_LOCAL = struct.Struct("<4s2xHH4xIIIHH")
_END = struct.Struct("<4sI2xHIIH")
# Past 2 GB: a record with its length (44), disks, counts, length and start of the directory; and its locator.
_END64 = struct.Struct("<4sQ4xIIQQQQ4sIQI")
_LARGE = zipfile.ZIP64_LIMIT
# What zipfile raises for a file that is not a zip.
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, struct.error)


class ForeignError(ValueError):
    """Content that zoo never writes.

    Args:
        reason: a clause about the file.
        code: of the error that names it.
    """

    def __init__(self, reason: str, *, code: str) -> None:
        super().__init__(reason)
        self.code = code


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, slots=True)
class Archive:
    """One such format.

    Attributes:
        format: its name in messages (`TorchScript`).
        entries: names of the entries that every file of the format has, without their folder.
        names: a regular expression of all allowed names of entries, without their folder.
        again: the remedy: how to export such a file again.
    """

    format: str
    entries: tuple[str, ...]
    names: str
    again: str

    def write_card(self, path: Path, text: str) -> None:
        """Adds the card. Raises `ArtifactError` if the file has one already, or is of another format."""
        value = text.encode()
        if len(value) > MAX_CARD_BYTES:
            cause = f"The card is larger than {MAX_CARD_BYTES // 2**20} MiB."
            raise ExportError(cause, "Shorten the recipe.", code="card-too-large")
        with self.opened(path) as archive:
            entries = self._entries(path, archive)
        if _CARD in entries:
            raise ArtifactError(f"'{path}' already has a card.", self.again, code="card-exists")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{_CARD}"), value)

    def read_card(self, path: Path) -> str | None:
        """Reads the zip's directory and one entry."""
        with self.opened(path) as archive:
            card = self._entries(path, archive).get(_CARD)
            try:
                return None if card is None else archive.read(card).decode()
            except _DAMAGED:
                raise ArtifactError(f"The card of '{path}' is damaged.", self.again, code="card-damaged") from None

    def content_hash(self, path: Path) -> str:
        """SHA-256 over name, size and bytes of each entry but the card."""
        digest = hashlib.sha256()
        with self.opened(path) as archive:
            entries = self._entries(path, archive)
            entries.pop(_CARD, None)
            for entry in sorted(entries.values(), key=lambda entry: entry.filename):
                digest.update(f"{entry.filename}\0{entry.file_size}\0".encode())
                with archive.open(entry) as file:
                    while block := file.read(2**20):
                        digest.update(block)
        return f"sha256:{digest.hexdigest()}"

    def texts(self, path: Path, names: str, most: int) -> dict[str, bytes]:
        """The bytes of the entries whose names, without their folder, match a regular expression.

        Args:
            most: how many bytes they may have together.

        Raises:
            ArtifactError: they have more.
        """
        with self.opened(path) as archive:
            found = {name: entry for name, entry in self._entries(path, archive).items() if re.fullmatch(names, name)}
            if sum(entry.file_size for entry in found.values()) > most:
                raise self.foreign(path, f"its program is larger than {most // 2**20} MiB", code="program-too-large")
            return {name: archive.read(entry) for name, entry in found.items()}

    def sizes(self, path: Path) -> dict[str, int]:
        """The entries' sizes in bytes, by their names without their folder."""
        with self.opened(path) as archive:
            return {name: entry.file_size for name, entry in self._entries(path, archive).items()}

    @contextmanager
    def written(self) -> Iterator[None]:
        """Turns what stops the tracing of a network into an `ExportError`: it runs the network's own code."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            raise ExportError(
                f"The network cannot be written as {self.format}: {_first_line(error)}",
                "Try another format: zoo export --onnx",
                code="network-not-exported",
            ) from error

    @contextmanager
    def loaded(self, path: Path) -> Iterator[None]:
        """Turns what a program that is foreign or damaged raises, of whatever class, into an `ArtifactError`."""
        try:
            yield
        except ArtifactError:
            raise
        except ForeignError as error:
            raise self.foreign(path, str(error), code=error.code) from None
        except Exception as error:
            cause = f"PyTorch cannot load '{path}': {_first_line(error)}"
            raise ArtifactError(cause, self.again, code="runtime-refuses") from None

    def foreign(self, path: Path, reason: str, *, code: str) -> ArtifactError:
        """The error for a sound file that zoo did not write."""
        return ArtifactError(f"'{path}' is not a {self.format} file from zoo: {reason}.", self.again, code=code)

    @contextmanager
    def opened(self, path: Path) -> Iterator[zipfile.ZipFile]:
        """The zip, whose directory is where it belongs and of a bounded size."""
        try:
            with path.open("rb") as file:
                start = _directory(file)
                with zipfile.ZipFile(file) as archive:
                    if archive.start_dir != start:
                        raise zipfile.BadZipFile
                    yield archive
        except _DAMAGED:
            cause = f"'{path}' is not a {self.format} file, or it is damaged."
            raise ArtifactError(cause, self.again, code="damaged-file") from None
        except OSError as error:
            cause = f"'{path}' cannot be read: {reason_of(error)}."
            raise ArtifactError(cause, "Check the path.", code="unreadable-file") from None

    def _entries(self, path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        """By their names without their folder, the entries, which are uncompressed, known and back to back."""
        entries = archive.infolist()
        roots = {entry.filename.split("/", 1)[0] for entry in entries}
        found = {entry.filename.partition("/")[2]: entry for entry in entries}
        if not found.keys() >= set(self.entries):
            raise ArtifactError(f"'{path}' is not a {self.format} file.", self.again, code="another-format")
        if roots != {_ROOT}:
            raise self.foreign(path, f"it has folders other than '{_ROOT}'", code="foreign-folder")
        if len(found) != len(entries):
            raise ArtifactError(f"'{path}' has several entries of one name.", self.again, code="entry-twice")
        allowed = re.compile(f"{self.names}|{re.escape(_CARD)}")
        for name, entry in found.items():
            if not allowed.fullmatch(name):
                raise self.foreign(path, f"it has an unknown entry {entry.filename[:100]!a}", code="foreign-entry")
            # Compressed entries may unpack to any size. Links and encrypted entries are not needed.
            packed = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
            # Two readers may read a name with a zero byte, or lengths that occur twice, in different ways.
            odd = entry.orig_filename != entry.filename or (entry.extra and entry.header_offset <= _LARGE)
            if packed or odd or entry.flag_bits & 1 or stat.S_ISLNK(entry.external_attr >> 16):
                raise self.foreign(
                    path, f"its entry {entry.filename[:100]!a} is not stored as plain bytes", code="packed-entry"
                )
        _check_layout(archive)
        if _CARD in found and found[_CARD].file_size > MAX_CARD_BYTES:
            cause = f"The card of '{path}' is larger than {MAX_CARD_BYTES // 2**20} MiB."
            raise ArtifactError(cause, self.again, code="card-too-large")
        return found


def repack(source: BinaryIO, path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Writes what PyTorch saved, uncompressed.

    Args:
        change: takes the name of an entry without its folder, and its bytes; returns those to keep, or None.
    """
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            if (value := change(name.partition("/")[2], old.read(name))) is not None:
                new.writestr(zipfile.ZipInfo(name), value)


def _directory(file: BinaryIO) -> int:
    """Where the zip's directory begins, which the last records of the file stand right behind. Raises BadZipFile."""
    tail = file.seek(0, 2) - _END.size
    file.seek(max(tail, 0))
    mark, disks, count, length, start, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\5\6" or disks or comment:
        raise zipfile.BadZipFile
    file.seek(max(tail - _END64.size, 0))
    mark, *record, count64, length64, start64, locator, disk, place, disks = _END64.unpack(file.read(_END64.size))
    if locator == b"PK\6\7":
        tail -= _END64.size
        # Readers differ in where they look for the record, and in which of the two they believe.
        where = mark == b"PK\6\6" and (disk, place, disks) == (0, tail, 1)
        same = (count, length, start) == (count64, length64, 2**32 - 1) or (count, length, start) == (
            count64,
            length64,
            start64,
        )
        if not where or record != [44, 0, 0, count64] or not same or start64 <= _LARGE:
            raise zipfile.BadZipFile
        start = start64
    if start + length != tail or length > MAX_DIRECTORY_BYTES or count > MAX_ENTRIES:
        raise zipfile.BadZipFile
    return int(start)


def _check_layout(archive: zipfile.ZipFile) -> None:
    """That nothing stands between the entries, and none overlaps another. Raises BadZipFile."""
    file = archive.fp
    assert file
    end = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        file.seek(entry.header_offset)
        mark, flags, method, crc, *sizes, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        if entry.header_offset != end or mark != b"PK\3\4":
            raise zipfile.BadZipFile
        # Readers differ in which of the two they believe. Past 2 GB, the sizes stand elsewhere.
        same = (flags, method, crc) == (entry.flag_bits, entry.compress_type, entry.CRC)
        if not same or (sizes != [entry.compress_size, entry.file_size] and not extra):
            raise zipfile.BadZipFile
        end += _LOCAL.size + name + extra + entry.compress_size
    if end != archive.start_dir:
        raise zipfile.BadZipFile
