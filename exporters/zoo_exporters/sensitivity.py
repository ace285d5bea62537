"""Finds the layers of a network that lose most in int8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_BEFORE, _AFTER = "_QuantizeLinear_Input", "_DequantizeLinear_Output"  # as onnxruntime.quantization names tensors


def worst_first(source: Path, quantised: Path, layers: Sequence[Any], feeds: Iterable[dict[str, Any]]) -> list[Any]:
    """Sorts layers by the error that quantising each alone brings into its output, relative to the output's power.

    Both networks run as one graph. The float network feeds every quantised layer, so errors do not add up. Only sums
    leave the session.

    Args:
        source: the file in fp32.
        quantised: what `quantize_static` made of it, all `layers` in integers.
        layers: nodes of the graph in `source`.
        feeds: inputs of the file.
    """
    import numpy as np
    import onnx
    import onnxruntime

    model, integers = onnx.load(source), onnx.load(quantised)
    outputs = {node.name: node.output[0] for node in integers.graph.node}
    _put_beside(model.graph, integers.graph)
    measured = {layer.name: _measure(model.graph, layer.name, outputs[layer.name]) for layer in layers}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it also raises what it would log
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [name for found in measured.values() for name in found]
    sums = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, value in zip(names, session.run(names, feed), strict=True):
            sums[name] += float(value)
    tiny = float(np.finfo(np.float64).tiny)
    noise = {name: sum(sums[e] for e in errors) / max(sums[power], tiny) for name, (power, *errors) in measured.items()}
    return sorted(layers, key=lambda layer: -noise[layer.name])


def _put_beside(graph: Any, integers: Any) -> None:
    """Adds the quantised network's nodes, renamed; their inputs come from the float network."""
    own = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in integers.initializer if tensor.name not in own)
    shared = {tensor.name for tensor in integers.initializer} | {value.name for value in integers.input} | {""}
    for node in integers.node:
        if node.op_type == "QuantizeLinear":
            node.input[0] = node.input[0].removesuffix(_BEFORE)
        else:
            node.input[:] = [name if name in shared else f"int8/{name}" for name in node.input]
        node.output[:] = [f"int8/{name}" for name in node.output]
        node.name = f"int8/{node.name}"
        graph.node.append(node)


def _measure(graph: Any, layer: str, output: str) -> list[str]:
    """Adds the power of a layer's output, of its error, and of the rounding error if the output is rounded."""
    from onnx import TensorProto, helper

    tensor = output.removesuffix(_BEFORE)
    present = {name for node in graph.node for name in node.output}
    found = []
    for what, other in (("signal", None), ("computed", f"int8/{output}"), ("rounded", f"int8/{tensor}{_AFTER}")):
        if other and other not in present:
            continue
        name, source = f"{layer}/{what}", tensor
        if other:
            source = f"{name}/difference"
            graph.node.append(helper.make_node("Sub", [tensor, other], [source]))
        graph.node.append(helper.make_node("ReduceSumSquare", [source], [name], keepdims=0))
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, []))
        found.append(name)
    return found
