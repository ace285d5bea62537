"""Mistakes of runtimes, made in the products that resize in an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _stretches(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The Clips that widen the filter with the picture: at least 1 pixel, with no upper bound."""
    values = _constants(model)
    return [
        node
        for node in model.graph.node
        if node.op_type == "Clip" and len(node.input) == 2 and values[node.input[1]] == 1
    ]


def without_antialiasing(model: onnx.ModelProto) -> None:
    """The filter keeps the width of one pixel, as in a runtime that ignores `antialias`."""
    found = _stretches(model)
    assert found
    for node in found:
        node.input.append(node.input[1])


def to_nearest(model: onnx.ModelProto) -> None:
    """Each pixel of the result is the picture's at `floor(i * scale)`."""
    without_antialiasing(model)
    values = _constants(model)
    for stretch in _stretches_of(model):
        (product,) = (n for n in model.graph.node if n.op_type == "Mul" and stretch.input[0] in n.input)
        (places,) = (tensor for tensor in model.graph.initializer if tensor.name in product.input)
        places.CopyFrom(numpy_helper.from_array(np.floor(values[places.name]), places.name))
        half = f"{product.output[0]}_half"
        model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), half))
        end, floor = product.output[0], f"{product.output[0]}_floor"
        product.output[0] = f"{end}_exact"
        where = list(model.graph.node).index(product) + 1
        model.graph.node.insert(where, helper.make_node("Add", [floor, half], [end], name=f"{end}_add"))
        model.graph.node.insert(where, helper.make_node("Floor", [f"{end}_exact"], [floor], name=f"{end}_floor"))


def _stretches_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [n for n in model.graph.node if n.op_type == "Clip" and len(n.input) == 3 and n.input[1] == n.input[2]]
