"""The bytes of an ONNX file: its card, its content, and which other file it reads. Needs only the standard library.

An ONNX file is one protobuf message, and protobuf messages can be concatenated. The card is a metadata property
(`zoo.card`) appended to the bytes of the model. That needs no onnx package, and every ONNX reader understands it. The
card's hash covers all bytes before the card.

Weights may be in a separate file. An untrusted file could name any file there (`/etc/passwd`, `../key`). So every
tensor is checked before anything else opens the file. Only `NAME.data` beside `NAME` is allowed.

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
MAX_NODES = 30_000  # onnxruntime needs five seconds to open so many, and minutes for ten times as many

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
    """Appends the card. Raises `ArtifactError` if the file has one already, or is not ONNX."""
    value = text.encode()
    if len(value) > MAX_CARD_BYTES:
        cause = f"The card is larger than {MAX_CARD_BYTES // 2**20} MiB."
        raise ExportError(cause, "Shorten the recipe.", code="card-too-large")
    if read_card(path) is not None:
        raise ArtifactError(f"'{path}' already has a card.", AGAIN, code="card-exists")
    entry = field(_KEY, CARD_KEY) + field(_VALUE, value)
    with path.open("ab") as file:
        file.write(field(_METADATA, entry))


def read_card(path: Path) -> str | None:
    """See `zoo.specs.ExporterSpec`; reads only lengths, the places of weights, and the card."""
    card = _examined(path)[1]
    try:
        return None if card is None else card.decode()
    except UnicodeDecodeError:
        raise ArtifactError(f"The card of '{path}' is damaged.", AGAIN, code="card-damaged") from None


def content_hash(path: Path) -> str:
    """See `zoo.specs.ExporterSpec`: SHA-256 of all bytes before the card, then of the weights file if any."""
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
    """Raises `ArtifactError` if the file reads any file but its own weights file, or that one is incomplete."""
    _examined(path)


def holds_its_weights(path: Path, content: bytes) -> bool:
    """Whether a file, given with its bytes, holds all its tensors. Raises `ArtifactError` for a forbidden place."""
    reader = Reader(path, io.BytesIO(content))
    try:
        parts = [part for part in _model_fields(reader, len(content)) if part[0] in _PATHS["Model"]]
        return not any(_weights_of(reader, _PATHS["Model"][number], start, end) for number, _, start, end in parts)
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> ArtifactError:
    return ArtifactError(f"'{path}' is not an ONNX file, or it is damaged.", AGAIN, code="damaged-file")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = (error.strerror or "it is not readable").lower()
        raise ArtifactError(f"'{path}' cannot be read: {reason}.", "Check the path.", code="unreadable-file") from None


def _examined(path: Path) -> tuple[int, bytes | None, bool]:
    """The length of the content in bytes, the card behind it, and whether weights are in a separate file."""
    with _opened(path) as file:
        reader = Reader(path, file)
        size = os.fstat(file.fileno()).st_size
        content, card, seen, needed = size, None, set(), 0
        try:
            for number, begin, start, end in _model_fields(reader, size):
                if card is not None:
                    cause = f"'{path}' was rewritten by another program after its export."
                    raise ArtifactError(cause, AGAIN, code="rewritten-file")
                if number == _FUNCTION:
                    # Thirty functions that call each other twice make a thousand million nodes in onnxruntime.
                    cause = f"'{path}' has functions, which zoo export never writes."
                    raise ArtifactError(cause, AGAIN, code="foreign-function")
                seen.add(number)
                if number == _METADATA and (found := _card_in(file, start, end)) is not None:
                    content, card = begin, found
                if number in _PATHS["Model"]:
                    needed = max(needed, _weights_of(reader, _PATHS["Model"][number], start, end))
        except ValueError:
            raise _damaged(path) from None
    if _GRAPH not in seen:
        raise ArtifactError(f"'{path}' is not an ONNX file.", AGAIN, code="another-format")
    if needed:
        _check_data(path, needed)
    return content, card, needed > 0


def _weights_of(reader: Reader, message: str, start: int, end: int) -> int:
    """How long the weights file must be; 0 if no tensor of the message is in it."""
    needed = nodes = 0
    left = [(message, start, end, 1)]
    while left:
        message, start, end, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError
        nodes += message == "Node"
        if nodes > MAX_NODES:
            raise ArtifactError(f"'{reader.path}' has more than {MAX_NODES:,} nodes.", AGAIN, code="too-many-nodes")
        if message == "Tensor":
            needed = max(needed, _weights_end(reader, start, end))
            continue
        ways = _PATHS[message]
        left += [(ways[f], at, to, depth + 1) for f, _, at, to in fields(reader, start, end) if f in ways]
    return needed


def _weights_end(reader: Reader, start: int, end: int) -> int:
    """Where a tensor ends in the weights file, at least 1; 0 if it is not in that file."""
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
            f"'{reader.path}' reads weights from '{place}', but only '{name}' beside it is allowed.",
            "Give both files their original names. Do not trust the file if it never had such names.",
            code="foreign-weights",
        )
    offset, length = int(given.get(b"offset", b"0")), int(given.get(b"length", b"0"))
    if offset < 0 or length < 0:
        raise ValueError
    return max(offset + length, 1)


def _check_data(path: Path, needed: int) -> None:
    data = data_path(path)
    again = "Copy both files again from their source, or export the model again."
    if not data.is_file():
        raise ArtifactError(f"'{path}' needs its weights file '{data.name}' beside it.", again, code="missing-weights")
    if data.resolve().parent != data.parent.resolve():
        cause = f"'{data}' is a link to another folder."
        raise ArtifactError(cause, "Put the file itself there.", code="linked-weights")
    if data.stat().st_size < needed:
        cause = f"'{data}' is incomplete: it has {data.stat().st_size} of {needed} bytes."
        raise ArtifactError(cause, again, code="incomplete-weights")


def _model_fields(reader: Reader, size: int) -> Iterator[tuple[int, int, int, int]]:
    """`fields` of the whole file. Raises ValueError for fields that an ONNX model does not have."""
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
