"""Zips that PyTorch writes: the card is one more entry, `extra/card.json`, and everything else is the content.

The functions of `zoo.specs.ExporterSpec` that need no torch, for any format of that kind.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ArtifactError, ExportError
from zoo.specs import MAX_CARD_BYTES

MAX_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class Archive:
    """A format of that kind.

    Attributes:
        format: as messages call it (`TorchScript`).
        entries: without their folder, those that every file of the format has.
        again: how to make such a file.
    """

    format: str
    entries: tuple[str, ...]
    again: str

    def write_card(self, path: Path, text: str) -> None:
        """Adds the card. Raises `ArtifactError` where the file has one, or is of another format."""
        value = text.encode()
        if len(value) > MAX_CARD_BYTES:
            raise ExportError(f"The card has more than {MAX_CARD_BYTES // 2**20} MiB.", "Shorten the recipe.")
        with self._opened(path) as archive:
            root, card = self._checked(path, archive)
        if card is not None:
            raise ArtifactError(f"'{path}' has a card already.", self.again)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(f"{root}/extra/card.json"), value)

    def read_card(self, path: Path) -> str | None:
        """Reads the zip's directory and one entry."""
        with self._opened(path) as archive:
            card = self._checked(path, archive)[1]
            try:
                return None if card is None else archive.read(card).decode()
            except (UnicodeDecodeError, zipfile.BadZipFile):
                raise ArtifactError(f"The card of '{path}' is damaged.", self.again) from None

    def content_hash(self, path: Path) -> str:
        """SHA-256 over name, size and bytes of each entry but the card."""
        digest = hashlib.sha256()
        with self._opened(path) as archive:
            card = self._checked(path, archive)[1]
            try:
                for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                    if entry is card:
                        continue
                    digest.update(f"{entry.filename}\0{entry.file_size}\0".encode())
                    with archive.open(entry) as file:
                        while block := file.read(2**20):
                            digest.update(block)
            except (zipfile.BadZipFile, EOFError):
                raise ArtifactError(f"'{path}' is damaged.", self.again) from None
        return f"sha256:{digest.hexdigest()}"

    @contextmanager
    def _opened(self, path: Path) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(path) as archive:
                yield archive
        except zipfile.BadZipFile:
            raise ArtifactError(f"'{path}' is no {self.format} file, or a damaged one.", self.again) from None
        except OSError as error:
            reason = (error.strerror or "it is not readable").lower()
            raise ArtifactError(f"'{path}' cannot be read: {reason}.", "Check the path.") from None

    def _checked(self, path: Path, archive: zipfile.ZipFile) -> tuple[str, zipfile.ZipInfo | None]:
        """The name of the archive's only folder, and the card's entry."""
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        roots = {name.split("/", 1)[0] for name in names}
        root = next(iter(roots), "")
        if len(roots) != 1 or not {f"{root}/{name}" for name in self.entries} <= names:
            raise ArtifactError(f"'{path}' is no {self.format} file.", self.again)
        # What is compressed may unpack to any size.
        if len(entries) > MAX_ENTRIES or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
            raise ArtifactError(f"'{path}' is no {self.format} file that zoo wrote.", self.again)
        if len(names) != len(entries):
            raise ArtifactError(f"'{path}' has several entries of one name.", self.again)
        card = next((entry for entry in entries if entry.filename == f"{root}/extra/card.json"), None)
        if card is not None and card.file_size > MAX_CARD_BYTES:
            raise ArtifactError(f"The card of '{path}' has more than {MAX_CARD_BYTES // 2**20} MiB.", self.again)
        return root, card
