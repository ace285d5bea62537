"""ONNX: one file, preprocessing inside, the card behind the graph.

An ONNX file is one protobuf message, and protobuf messages concatenate: the card is a metadata property
(`zoo.card`) appended to the bytes of the model. That needs no onnx package, every ONNX reader understands it,
and the content that the card's hash covers is simply all the bytes before it.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.specs import MAX_CARD_BYTES, LoadOptions, WriteOptions, Written

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from zoo.specs import Runtime

OPSET = 18  # the first with an antialiased Resize
CARD_KEY = b"zoo.card"
MAX_MODEL_BYTES = 2**31 - 1  # what protobuf puts into one message

_GRAPH, _METADATA = 7, 14  # fields of ModelProto
_KEY, _VALUE = 1, 2  # fields of StringStringEntryProto
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, _GRAPH, 8, _METADATA, 20, 25, 26})
_VARINT, _LENGTH = 0, 2  # wire types; ModelProto has no others
_AGAIN = "Export it again with: zoo export --onnx"


def write(classifier: nn.Module, path: Path, options: WriteOptions) -> Written:
    """See `zoo.specs.ExporterSpec`. Raises `ExportError` where the network cannot be expressed in ONNX."""
    try:
        import onnxscript  # noqa: F401  (torch.onnx needs it)
        import torch

        from zoo_exporters.program import program, quiet
    except ImportError:
        raise MissingExtraError("Writing ONNX files", "train") from None
    shipped = program(classifier, options.input)
    if sum(p.nbytes for p in shipped.state_dict().values()) > MAX_MODEL_BYTES:
        raise ExportError(
            "The network has more than 2 GB of parameters, which one ONNX file cannot hold.",
            "Export it with: zoo export --torchscript",
        )
    names = ("batch", "height", "width") if options.input == "pixels" else ("batch",)
    free = dict.fromkeys(range(len(names)), torch.export.Dim.DYNAMIC)
    try:
        with quiet():
            # Not by torch.onnx.export itself: the size-oblivious mode it traces in cannot follow the crop.
            traced = torch.export.export(
                shipped,
                (shipped.example(),),
                dynamic_shapes=(free,),
                strict=False,
            )
            exported = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits", "probabilities"],
                dynamic_shapes=(dict(enumerate(names)),),
                verbose=False,
            )
            assert exported is not None
            for node in exported.model.graph.all_nodes():
                node.metadata_props.clear()  # stack traces with the maker's paths
            exported.save(path, external_data=False)
    except OSError:
        raise
    except Exception as error:  # the exporter raises whatever an operator leads it to
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"The network cannot be written as ONNX: {reason}", "Try another format: zoo export --torchscript"
        ) from error
    if options.precision != "int8":
        return Written()
    from zoo_exporters.quantise import quantise

    assert options.calibration is not None
    spec: Any = classifier.spec if options.input == "tensor" else None
    return Written(facts=quantise(path, path, options.calibration, spec))


def write_card(path: Path, text: str) -> None:
    """Appends the card. Raises `ArtifactError` where the file has one, or is not ONNX."""
    value = text.encode()
    if len(value) > MAX_CARD_BYTES:
        raise ExportError(f"The card has more than {MAX_CARD_BYTES // 2**20} MiB.", "Shorten the recipe.")
    if read_card(path) is not None:
        raise ArtifactError(f"'{path}' has a card already.", _AGAIN)
    entry = _field(_KEY, CARD_KEY) + _field(_VALUE, value)
    with path.open("ab") as file:
        file.write(_field(_METADATA, entry))


def read_card(path: Path) -> str | None:
    """See `zoo.specs.ExporterSpec`; reads the lengths of the model's fields and the card, nothing else."""
    with _opened(path) as file:
        card = _split(path, file)[1]
    try:
        return None if card is None else card.decode()
    except UnicodeDecodeError:
        raise ArtifactError(f"The card of '{path}' is damaged.", _AGAIN) from None


def content_hash(path: Path) -> str:
    """See `zoo.specs.ExporterSpec`: SHA-256 of all bytes before the card."""
    with _opened(path) as file:
        left = _split(path, file)[0]
        file.seek(0)
        digest = hashlib.sha256()
        while left and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
    return f"sha256:{digest.hexdigest()}"


def load(path: Path, options: LoadOptions) -> Runtime:
    """See `zoo.specs.ExporterSpec`; imports onnxruntime and no torch."""
    # From 1.29 on, onnxruntime reports its use to its maker: https://github.com/microsoft/onnxruntime/pull/27379
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("Reading ONNX files", "onnx") from None
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(options.device)
    if provider not in onnxruntime.get_available_providers():
        raise ArtifactError(
            f"onnxruntime cannot run on '{options.device}' here.",
            "Use --device cpu, or install visionzoo[onnx-gpu] in place of visionzoo[onnx].",
        )
    own = onnxruntime.SessionOptions()
    own.log_severity_level = 4  # what it would log it also raises
    if options.threads:
        own.intra_op_num_threads = options.threads
    if not options.optimised:
        own.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not options.spinning:
        own.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), own, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"onnxruntime cannot load '{path}': {reason}", _AGAIN) from None
    if session.get_providers()[0] != provider:
        raise ArtifactError(f"onnxruntime could not start on '{options.device}'.", "Use --device cpu.")
    return _Session(session)


class _Session:
    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, images: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._session.run(["logits"], {"image": images})[0]
        return logits


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        reason = (error.strerror or "it is not readable").lower()
        raise ArtifactError(f"'{path}' cannot be read: {reason}.", "Check the path.") from None


def _split(path: Path, file: BinaryIO) -> tuple[int, bytes | None]:
    """The length of the content in bytes, and the card behind it."""
    size = os.fstat(file.fileno()).st_size
    content, card, seen = size, None, set()
    try:
        for field, begin, start, length in _walk(file, size):
            if card is not None:
                raise ArtifactError(f"'{path}' was rewritten by another program after its export.", _AGAIN)
            seen.add(field)
            if field == _METADATA and (found := _card_in(file, start, length)) is not None:
                content, card = begin, found
    except ValueError:
        raise ArtifactError(f"'{path}' is no ONNX file, or a damaged one.", _AGAIN) from None
    if _GRAPH not in seen:
        raise ArtifactError(f"'{path}' is no ONNX file.", _AGAIN)
    return content, card


def _walk(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Field number, begin of the tag, begin and length of the value. Raises ValueError."""
    position = 0
    while position < size:
        file.seek(position)
        tag = _varint(file)
        if tag >> 3 not in _MODEL_FIELDS or tag & 7 not in (_VARINT, _LENGTH):
            raise ValueError
        length = _varint(file) if tag & 7 == _LENGTH else 0
        start = file.tell()
        if tag & 7 == _VARINT:
            _varint(file)
            length = file.tell() - start
        if start + length > size:
            raise ValueError
        yield tag >> 3, position, start, length
        position = start + length


def _card_in(file: BinaryIO, start: int, length: int) -> bytes | None:
    """The value of a metadata entry if its key is the card's."""
    file.seek(start)
    key = _field(_KEY, CARD_KEY)
    if file.read(min(length, len(key))) != key:
        return None
    if _varint(file) != _VALUE << 3 | _LENGTH:
        raise ValueError
    size = _varint(file)
    if size > MAX_CARD_BYTES or file.tell() + size != start + length:
        raise ValueError
    return file.read(size)


def _varint(file: BinaryIO) -> int:
    """https://protobuf.dev/programming-guides/encoding/#varints"""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:  # noqa: PLR2004
            return value
    raise ValueError


def _field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _LENGTH) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 127:  # noqa: PLR2004
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
