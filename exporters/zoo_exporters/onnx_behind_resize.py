"""Makes a second model from the bytes of an ONNX file: the part behind its resize.

A picture of 40 megapixels needs 600 MB before the resize, and 600 KB behind it. Comparing both models on some pictures
does not prove that they agree at every size: an untrusted file may depend on the size. So the part before the resize
must be, operator by operator, what `zoo export` writes for the preprocessing in the file's card. The part behind it may
use only the number of pictures. Other files get no second model.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction

from zoo.specs import PreprocessSpec
from zoo_exporters.onnx_nodes import (
    FLOAT,
    INPUT,
    MODEL_GRAPH,
    MODEL_METADATA,
    NODE,
    NODE_INPUT,
    VALUE_INFO,
    Graph,
    Node,
)
from zoo_exporters.window_graph import entrance_of
from zoo_exporters.wire import LENGTH, encoded, field

_IMAGE = "image"
_MOST = 500  # visits to values before the resize: 60 are needed
# Attributes that define what an operator before the resize computes.
_TELLING = {"Transpose": ("perm",), "Shape": ("start", "end"), "Cast": ("to",), "Concat": ("axis",)}
_RESIZE = {
    "mode": b"linear",
    "antialias": 1,
    "exclude_outside": 1,
    "coordinate_transformation_mode": b"half_pixel",
    "keep_aspect_ratio_policy": b"stretch",
}


def behind_resize(content: bytes, spec: PreprocessSpec) -> tuple[bytes, str] | None:
    """The second model.

    Args:
        content: an ONNX file that holds all of its weights.
        spec: the preprocessing in its card.

    Returns:
        The model and the name of its input, float32 `[N, 3, S, S]` in 0..255. None if the file has no such model.
    """
    try:
        graph = Graph(content)
        entrance = _entrance(graph, spec) if graph.inputs == [_IMAGE] else None
        if entrance is None:
            return None
        kept = _behind(graph, entrance)
        return None if kept is None else (_written(graph, kept, entrance, spec.image_size), entrance)
    except (ValueError, KeyError, IndexError, struct.error):  # damaged, or of parts that `zoo export` does not write
        return None


def _entrance(graph: Graph, spec: PreprocessSpec) -> str | None:
    """The name of the resized picture, if it is resized as the preprocessing does."""
    resizes = [node for node in graph.nodes if node.op == "Resize"]
    if not resizes:
        return entrance_of(graph, spec)
    # Files of older versions.
    if len(resizes) != 1 or spec.resampled or not _Front(graph).is_of(resizes[0], spec):
        return None
    [entrance] = resizes[0].outputs
    return entrance


class _Front:
    """The part of a graph before its resize, as text."""

    def __init__(self, graph: Graph) -> None:
        self._constants = graph.constants
        self._makers = {output: node for node in graph.nodes for output in node.outputs}
        self._visits = 0

    def is_of(self, resize: Node, spec: PreprocessSpec) -> bool:
        """Whether it crops and stretches as the preprocessing does."""
        pixels = _expected(spec)
        sizes = f"Concat[0](Shape[0, 2]({pixels}), {spec.image_size}, {spec.image_size})"
        return (
            not resize.domain
            and "axes" not in resize.attributes
            and all(resize.attributes.get(name) == value for name, value in _RESIZE.items())
            and [self._text_of(value) for value in resize.inputs] == [pixels, "", "", sizes]
        )

    def _text_of(self, value: str) -> str:
        """Operators, the attributes that define them, and constants."""
        self._visits += 1
        if self._visits > _MOST:
            raise ValueError
        if value in {_IMAGE, ""}:
            return value
        if value in self._constants:
            return _listed(self._constants[value])
        node = self._makers[value]
        if node.domain or len(node.outputs) != 1:
            raise ValueError
        told = [node.attributes.get(name, 0) for name in _TELLING.get(node.op, ())]
        says = "".join(f"[{_listed(one if isinstance(one, tuple) else told)}]" for one in told[:1])
        return f"{node.op}{says}({_listed(map(self._text_of, node.inputs))})"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _expected(spec: PreprocessSpec) -> str:
    """The pixels that go into the resize, as `zoo.transforms.preprocess.Preprocess` is exported."""
    pixels = f"Transpose[0, 3, 1, 2]({_IMAGE})"
    if spec.resize == "crop":
        fraction = Fraction(spec.crop_fraction).limit_denominator(4096)
        height, width = f"Squeeze(Shape[1, 2]({_IMAGE}))", f"Squeeze(Shape[2, 3]({_IMAGE}))"
        side = f"Min({height}, {width})"
        if fraction.numerator != 1:
            side = f"Mul({side}, {fraction.numerator})"
        if fraction != 1:
            side = f"Max(Div({side}, {fraction.denominator}), 1)"
        for axis, length in ((2, height), (3, width)):
            start = f"Div(Sub({length}, {side}), 2)"
            pixels = f"Slice({pixels}, Reshape({start}, -1), Reshape(Add({start}, {side}), -1), {axis}, 1)"
    return f"Cast[{FLOAT}]({pixels})"


def _behind(graph: Graph, entrance: str) -> list[Node] | None:
    """The nodes between a value and the outputs; None if they need more of the picture than the batch size."""
    makers = {output: node for node in graph.nodes for output in node.outputs}
    left = list(graph.outputs)
    seen = {entrance, "", *left}
    kept: dict[tuple[int, int], Node] = {}
    while left:
        node = makers.get(left.pop())
        if node is None:
            continue
        needed = set(node.inputs)
        if _asks_batch_size(node):
            needed.discard(_IMAGE)
        if node.has_graphs or _IMAGE in needed:
            return None
        kept[node.span] = node
        left += needed - seen
        seen |= needed
    return list(kept.values())


def _asks_batch_size(node: Node) -> bool:
    asked = (node.op, node.domain, node.attributes.get("start", 0), node.attributes.get("end"))
    return asked == ("Shape", "", 0, 1)


def _written(graph: Graph, kept: list[Node], entrance: str, size: int) -> bytes:
    """The model of these nodes, which takes `entrance`; without the card."""
    starts = {node.span[1]: node for node in kept}
    content = memoryview(graph.content)
    parts: list[bytes | memoryview] = [_input(entrance, size)]
    for number, begin, end in graph.parts:
        if number == NODE and end in starts and _IMAGE in starts[end].inputs:
            parts.append(_asking(graph, starts[end], entrance))
        elif number not in {INPUT, VALUE_INFO} and (number != NODE or end in starts):
            parts.append(content[begin:end])
    model: list[bytes | memoryview] = []
    for number, begin, end in graph.model_parts:
        if number == MODEL_GRAPH:
            model += [encoded(MODEL_GRAPH << 3 | LENGTH), encoded(sum(map(len, parts))), *parts]
        elif number != MODEL_METADATA:
            model.append(content[begin:end])
    return b"".join(model)


def _input(name: str, size: int) -> bytes:
    """A field of GraphProto: a ValueInfoProto of float32 `[N, 3, S, S]`."""
    dims = (field(2, b"batch"), *(encoded(1 << 3) + encoded(length) for length in (3, size, size)))
    shape = b"".join(field(1, dim) for dim in dims)
    tensor = encoded(1 << 3) + encoded(FLOAT) + field(2, shape)
    return field(INPUT, field(1, name.encode()) + field(2, field(1, tensor)))


def _asking(graph: Graph, node: Node, entrance: str) -> bytes:
    """A node that reads the number of pictures, changed to read it from `entrance`."""
    parts = [
        field(NODE_INPUT, entrance.encode()) if number == NODE_INPUT else graph.content[begin : span[1]]
        for number, begin, span in graph.fields_of(node.span)
    ]
    return field(NODE, b"".join(parts))
