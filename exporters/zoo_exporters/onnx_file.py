"""The bytes of an ONNX file: its card, its content, and which other file it reads. Needs the standard library alone.

An ONNX file is one protobuf message, and protobuf messages concatenate: the card is a metadata property
(`zoo.card`) appended to the bytes of the model. That needs no onnx package, every ONNX reader understands it,
and the content that the card's hash covers is simply all the bytes before it.

Weights may lie in a file of their own. A stranger's file could name any file there (`/etc/passwd`, `../key`), so that
every tensor is looked at before anything else opens the file: the only place allowed is `NAME.data` beside `NAME`.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zoo.errors import ArtifactError, ExportError
from zoo.files import data_path
from zoo.specs import MAX_CARD_BYTES
from zoo_exporters.wire import LENGTH, Reader, field, fields, varint

CARD_KEY = b"zoo.card"
AGAIN = "Export it again with: zoo export --onnx"
MAX_DEPTH = 100  # protobuf's own limit
MAX_NODES = 30_000  # opening so many takes onnxruntime five seconds, and ten times as many take minutes

_GRAPH, _METADATA, _FUNCTION = 7, 14, 25  # fields of ModelProto
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of TensorProto

# Message by message, the fields on the way to a tensor.
_PATHS: dict[str, dict[int, str]] = {
    "Model": {_GRAPH: "Graph", 20: "Training"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, _GRAPH, 8, _METADATA, 20, 25, 26})


def write_card(path: Path, text: str) -> None:
    """Appends the card. Raises `ArtifactError` where the file has one, or is not ONNX."""
    value = text.encode()
    if len(value) > MAX_CARD_BYTES:
        raise ExportError(f"The card has more than {MAX_CARD_BYTES // 2**20} MiB.", "Shorten the recipe.")
    if read_card(path) is not None:
        raise ArtifactError(f"'{path}' has a card already.", AGAIN)
    entry = field(_KEY, CARD_KEY) + field(_VALUE, value)
    with path.open("ab") as file:
        file.write(field(_METADATA, entry))


def read_card(path: Path) -> str | None:
    """See `zoo.specs.ExporterSpec`; reads lengths, the places of weights, and the card."""
    card = _examined(path)[1]
    try:
        return None if card is None else card.decode()
    except UnicodeDecodeError:
        raise ArtifactError(f"The card of '{path}' is damaged.", AGAIN) from None


def content_hash(path: Path) -> str:
    """See `zoo.specs.ExporterSpec`: SHA-256 of all bytes before the card, then of the file of weights if any."""
    length, _, external = _examined(path)
    digest = hashlib.sha256()
    with _opened(path) as file:
        while length and (block := file.read(min(length, 2**20))):
            digest.update(block)
            length -= len(block)
    if external:
        inner = hashlib.sha256()
        with _opened(data_path(path)) as file:
            while block := file.read(2**20):
                inner.update(block)
        digest.update(inner.digest())
    return f"sha256:{digest.hexdigest()}"


def refuse_foreign_weights(path: Path) -> None:
    """Raises `ArtifactError` where the file reads any other than its own file of weights, or that one is cut short."""
    _examined(path)


def holds_its_weights(path: Path, content: bytes) -> bool:
    """Whether no tensor of a file, given with its bytes, lies in another. Raises `ArtifactError` where one may not."""
    reader = Reader(path, io.BytesIO(content))
    try:
        parts = [part for part in _model_fields(reader, len(content)) if part[0] in _PATHS["Model"]]
        return not any(_weights_of(reader, _PATHS["Model"][number], start, end) for number, _, start, end in parts)
    except ValueError:
        raise ArtifactError(f"'{path}' is no ONNX file, or a damaged one.", AGAIN) from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = (error.strerror or "it is not readable").lower()
        raise ArtifactError(f"'{path}' cannot be read: {reason}.", "Check the path.") from None


def _examined(path: Path) -> tuple[int, bytes | None, bool]:
    """The length of the content in bytes, the card behind it, and whether weights lie in their own file."""
    with _opened(path) as file:
        reader = Reader(path, file)
        size = os.fstat(file.fileno()).st_size
        content, card, seen, needed = size, None, set(), 0
        try:
            for number, begin, start, end in _model_fields(reader, size):
                if card is not None:
                    raise ArtifactError(f"'{path}' was rewritten by another program after its export.", AGAIN)
                if number == _FUNCTION:
                    # Thirty that call each other twice are a thousand million nodes to onnxruntime.
                    raise ArtifactError(f"'{path}' has functions of its own, which zoo export does not write.", AGAIN)
                seen.add(number)
                if number == _METADATA and (found := _card_in(file, start, end)) is not None:
                    content, card = begin, found
                if number in _PATHS["Model"]:
                    needed = max(needed, _weights_of(reader, _PATHS["Model"][number], start, end))
        except ValueError:
            raise ArtifactError(f"'{path}' is no ONNX file, or a damaged one.", AGAIN) from None
    if _GRAPH not in seen:
        raise ArtifactError(f"'{path}' is no ONNX file.", AGAIN)
    if needed:
        _check_data(path, needed)
    return content, card, needed > 0


def _weights_of(reader: Reader, message: str, start: int, end: int) -> int:
    """How long the file of weights must be, 0 where no tensor of the message lies there."""
    needed = nodes = 0
    left = [(message, start, end, 1)]
    while left:
        message, start, end, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError
        nodes += message == "Node"
        if nodes > MAX_NODES:
            raise ArtifactError(f"'{reader.path}' has more than {MAX_NODES:,} nodes.", AGAIN)
        if message == "Tensor":
            needed = max(needed, _weights_end(reader, start, end))
            continue
        ways = _PATHS[message]
        left += [(ways[f], at, to, depth + 1) for f, _, at, to in fields(reader, start, end) if f in ways]
    return needed


def _weights_end(reader: Reader, start: int, end: int) -> int:
    """Where a tensor ends in the file of weights, at least 1; 0 where it does not lie there."""
    entries: list[tuple[bytes, bytes]] = []
    external = False
    for number, _, at, to in fields(reader, start, end):
        if number == _EXTERNAL_DATA:
            entries.append(_entry(reader, at, to))
        elif number == _DATA_LOCATION:
            reader.file.seek(at)
            external |= varint(reader.file) != 0
    if not entries and not external:
        return 0
    given = dict(entries)
    name = data_path(reader.path).name
    if len(given) != len(entries) or given.get(b"location") != name.encode():
        place = ascii(given.get(b"location", b"").decode(errors="replace"))[1:-1][:100]
        raise ArtifactError(
            f"'{reader.path}' reads weights from '{place}', and may read them from '{name}' beside it only.",
            "Give both files the names they were exported with; do not trust the file if it never had such names.",
        )
    offset, length = int(given.get(b"offset", b"0")), int(given.get(b"length", b"0"))
    if offset < 0 or length < 0:
        raise ValueError
    return max(offset + length, 1)


def _check_data(path: Path, needed: int) -> None:
    data = data_path(path)
    again = "Copy both files from where they came, or export it again."
    if not data.is_file():
        raise ArtifactError(f"'{path}' needs its weights, '{data.name}', beside it.", again)
    if data.resolve().parent != data.parent.resolve():
        raise ArtifactError(f"'{data}' is a link to another folder.", "Put the file itself there.")
    if data.stat().st_size < needed:
        raise ArtifactError(f"'{data}' is cut short: {data.stat().st_size} of {needed} bytes.", again)


def _model_fields(reader: Reader, size: int) -> Iterator[tuple[int, int, int, int]]:
    """`fields` of the whole file, which is no ONNX file where it has others than a model."""
    for number, begin, start, end in fields(reader, 0, size):
        if number not in _MODEL_FIELDS:
            raise ValueError
        yield number, begin, start, end


def _entry(reader: Reader, start: int, end: int) -> tuple[bytes, bytes]:
    """A StringStringEntryProto."""
    found: dict[int, bytes] = {}
    for number, _, at, to in fields(reader, start, end):
        if number in found or to - at > MAX_CARD_BYTES:
            raise ValueError
        reader.file.seek(at)
        found[number] = reader.file.read(to - at)
    return found.get(_KEY, b""), found.get(_VALUE, b"")


def _card_in(file: BinaryIO, start: int, end: int) -> bytes | None:
    """The value of a metadata entry if its key is the card's."""
    file.seek(start)
    key = field(_KEY, CARD_KEY)
    if file.read(min(end - start, len(key))) != key:
        return None
    if varint(file) != _VALUE << 3 | LENGTH:
        raise ValueError
    size = varint(file)
    if size > MAX_CARD_BYTES or file.tell() + size != end:
        raise ValueError
    return file.read(size)
