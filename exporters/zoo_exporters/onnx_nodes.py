"""The nodes of an ONNX graph, from a file's bytes, with only the standard library.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path

from zoo_exporters.wire import Reader, fields, varint

MODEL_GRAPH, MODEL_METADATA, MODEL_TRAINING, MODEL_FUNCTION = 7, 14, 20, 25  # fields of ModelProto
NODE, CONSTANT, INPUT, OUTPUT, VALUE_INFO, SPARSE = 1, 5, 11, 12, 13, 15  # fields of GraphProto
NODE_INPUT = 1  # field of NodeProto
FLOAT, INT64 = 1, 7  # values of TensorProto.DataType
# Shapes, axes and the places of pixels are shorter; weights need not be read.
MAX_CONSTANT_BYTES = 2**16
_ATTRIBUTE_FIELDS = {2: 3, 3: 4, 7: 8}  # AttributeProto.type: the field that holds an integer, a text, integers

Attribute = int | bytes | tuple[int, ...] | None
Span = tuple[int, int]


@dataclass(slots=True)
class Node:
    """A NodeProto.

    Attributes:
        span: its bytes in the file.
        attributes: integers, texts and lists of integers; None for others.
        has_graphs: whether it contains a graph, which may read any value around the node.
    """

    span: Span
    op: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    has_graphs: bool = False


class Graph:
    """The graph of a model. Raises ValueError if the model is damaged, has several graphs or has functions.

    Attributes:
        content: the bytes of the model.
        model_parts, parts: the fields of the model and of the graph: number, begin of the tag, end.
        nodes: in the order of the file.
        inputs, outputs: their names.
        small: constants of few int64 or float32: the type, the shape and the bytes, by name.
        constants: those of int64.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._reader = Reader(Path(), io.BytesIO(content))
        model = self.fields_of((0, len(content)))
        graphs = [span for number, _, span in model if number == MODEL_GRAPH]
        if len(graphs) != 1 or any(number in {MODEL_TRAINING, MODEL_FUNCTION} for number, *_ in model):
            raise ValueError
        self.model_parts = [(number, begin, end) for number, begin, (_, end) in model]
        graph = self.fields_of(graphs[0])
        self.parts = [(number, begin, end) for number, begin, (_, end) in graph]
        self.nodes = [self._node(span) for number, _, span in graph if number == NODE]
        self.inputs = [self._name(span, 1) for number, _, span in graph if number == INPUT]
        self.outputs = [self._name(span, 1) for number, _, span in graph if number == OUTPUT]
        self.small: dict[str, tuple[int, tuple[int, ...], bytes]] = {}
        self.constants: dict[str, tuple[int, ...]] = {}
        names = [*self.inputs, *(output for node in self.nodes for output in node.outputs if output)]
        for number, _, span in graph:
            if number == CONSTANT:
                names.append(self._name(span, 8))
                self._add_constant(span)
            elif number == SPARSE:
                raise ValueError
        # If two values have one name, a runtime may use the other one.
        if len(set(names)) < len(names):
            raise ValueError

    def fields_of(self, span: Span) -> list[tuple[int, int, Span]]:
        """Of a message: field number, begin of the tag, and where the value lies."""
        return [(number, begin, (at, to)) for number, begin, at, to in fields(self._reader, *span)]

    def _text(self, span: Span) -> str:
        return self.content[slice(*span)].decode()

    def _number(self, span: Span) -> int:
        self._reader.file.seek(span[0])
        return varint(self._reader.file)

    def _name(self, span: Span, number: int) -> str:
        [name] = [self._text(inner) for found, _, inner in self.fields_of(span) if found == number]
        return name

    def _node(self, span: Span) -> Node:
        node = Node(span)
        for number, _, inner in self.fields_of(span):
            match number:
                case 1:
                    node.inputs.append(self._text(inner))
                case 2:
                    node.outputs.append(self._text(inner))
                case 4:
                    node.op = self._text(inner)
                case 5:
                    self._add_attribute(node, inner)
                case 7:
                    node.domain = self._text(inner)
        return node

    def _add_attribute(self, node: Node, span: Span) -> None:
        found = self.fields_of(span)
        name = self._name(span, 1)
        if name in node.attributes:
            raise ValueError
        kinds = [self._number(inner) for number, _, inner in found if number == 20]  # noqa: PLR2004
        values = [inner for number, _, inner in found if kinds and number == _ATTRIBUTE_FIELDS.get(kinds[-1])]
        node.has_graphs |= any(number in {6, 11} for number, *_ in found)
        match kinds[-1:]:
            case [2]:
                node.attributes[name] = self._number(values[-1]) if values else 0
            case [3]:
                node.attributes[name] = self.content[slice(*values[-1])] if values else b""
            case [7]:
                node.attributes[name] = tuple(map(self._number, values))
            case _:
                node.attributes[name] = None

    def _add_constant(self, span: Span) -> None:
        if span[1] - span[0] > MAX_CONSTANT_BYTES:
            return
        parts = self.fields_of(span)
        found = {number: inner for number, _, inner in parts}
        kind = self._number(found[2]) if 2 in found else 0  # noqa: PLR2004
        if kind not in {INT64, FLOAT} or 9 not in found:  # noqa: PLR2004
            return
        name, raw = self._text(found[8]), self.content[slice(*found[9])]
        dims = tuple(self._number(inner) for number, _, inner in parts if number == 1)
        self.small[name] = (kind, dims, raw)
        if kind == INT64:
            self.constants[name] = struct.unpack(f"<{len(raw) // 8}q", raw)
