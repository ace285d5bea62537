"""Checks that the weights in an ONNX file are the classifier's, in any precision.

Comparing values inside the network is not enough: a weight whose input is zero for the compared pictures changes
nothing. torch.onnx names the weights in a file after the classifier's parameters, so each can be compared with its
parameter. A convolution's weight has the BatchNorm behind it folded in (as `torch.nn.utils.fusion` does it). torch.onnx
transposes the weights of products with tokens and gives them new names; `name_transposed` replaces those names. A
constant that is computed from parameters alone (a table of position biases) has the name of its node in the program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

# Relative to the numbers that a weight was computed from, with five steps for folding; and a step of the smallest
# numbers.
ROUNDING = {onnx.TensorProto.FLOAT: (1e-6, 1e-44), onnx.TensorProto.FLOAT16: (4e-3, 6e-8)}
MATRIX = 2  # axes
NOISE = 4  # times PyTorch's own rounding error of a constant, against float64
HALF_STEP = 0.501  # of a quantised weight

# A value, and the sum of the magnitudes that it was computed from, float64; computed when they are needed.
Weight = Callable[[], tuple[np.ndarray, np.ndarray]]
Own = Callable[[str | None], np.ndarray]  # a parameter or buffer by its name, float64
Layer = tuple[str, str | None]  # names of weight and bias
Norm = tuple[str | None, str | None, str | None, str | None]  # names of weight, bias, mean and variance

_FOLDED = ("aten::conv", "aten::linear")  # the first axis of their weights is the output channels
_QUANTISED = ("QuantizeLinear", "DequantizeLinear")
_NORM = "aten::_native_batch_norm_legit_no_training"


def name_transposed(exported: Any) -> None:
    """Names transposed weights in a torch.onnx.ONNXProgram after their parameters: `network.fc.weight.T`."""
    parameters = _own(exported.exported_program)
    turned = {_digest(tensor.T.numpy()): f"{name}.T" for name, tensor in _matrices(parameters)}
    initializers = exported.model.graph.initializers
    for value in list(initializers.values()):
        if value.name not in parameters and len(value.shape) == MATRIX:
            name = turned.get(_digest(value.const_value.numpy()))
            if name and name not in initializers:
                value.name = name


def _own(program: ExportedProgram) -> dict[str, Tensor]:
    """Parameters, buffers and constants."""
    constants = {name: value for name, value in program.constants.items() if isinstance(value, Tensor)}
    return {**program.state_dict, **constants}


def _matrices(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in tensors.items() if tensor.ndim == MATRIX)


def _digest(array: np.ndarray) -> tuple[tuple[int, ...], bytes]:
    return array.shape, hashlib.blake2b(array.tobytes()).digest()


def changed_weight(classifier: nn.Module, program: ExportedProgram, path: Path) -> str | None:
    """A sentence about the first weight in the file that is not the classifier's, or None.

    Two kinds are skipped: weights whose BatchNorm may be folded in some other way than behind one convolution or linear
    layer, and intermediate values of a constant, which have no name in the program.

    Args:
        classifier: in fp32.
        program: of it, as torch.onnx translated it.
    """
    expected = _expected(classifier, program)
    for name, value, allowed in _weights(onnx.load(path)):
        shaped = False
        for weight in reversed(expected.get(name, [])):  # most convolutions have a BatchNorm folded in
            own, size = weight()
            shaped |= own.shape == value.shape
            if own.shape == value.shape and _same(value, own, allowed(size)):
                break
        else:
            if shaped:
                return f"The file's {name} is not the classifier's."
    return None


def _same(value: np.ndarray, own: np.ndarray, allowed: np.ndarray) -> bool:
    with np.errstate(invalid="ignore"):  # masks are infinite
        close = np.abs(value - own) <= allowed
    return bool(close.all() or (close | (value == own)).all())  # NaN differs, too


def coverage(classifier: nn.Module, program: ExportedProgram, path: Path) -> float:
    """The share of a file's weights that `changed_weight` compares, from 0 to 1."""
    expected = _expected(classifier, program)
    sizes = [(value.size, name in expected) for name, value, _ in _weights(onnx.load(path))]
    return sum(size for size, known in sizes if known) / sum(size for size, _ in sizes)


def _expected(classifier: nn.Module, program: ExportedProgram) -> dict[str, list[Weight]]:
    """By the names that a file has for them, what a weight may be: plain, or with a BatchNorm folded in."""
    tensors = {**dict(classifier.named_parameters()), **dict(classifier.named_buffers()), **_own(program)}

    def own(name: str | None) -> np.ndarray:
        return np.zeros(1) if name is None else tensors[name].detach().cpu().double().numpy()

    def plain(name: str) -> tuple[np.ndarray, np.ndarray]:
        return own(name), np.abs(own(name))

    def transposed(name: str) -> tuple[np.ndarray, np.ndarray]:
        return own(name).T, np.abs(own(name)).T

    expected: dict[str, list[Weight]] = {name: [partial(plain, name)] for name in tensors}
    expected |= {f"{name}.T": [partial(transposed, name)] for name, _ in _matrices(tensors)}
    expected |= {name: [weight] for name, weight in _constants(program).items()}
    names = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    for node in program.graph.nodes:
        layer = node.args[0] if _calls(node, _NORM) else None
        if not isinstance(layer, fx.Node):
            continue
        weight, bias = (_named(argument, names) for argument in (*layer.args[1:3], None, None)[:2])
        gamma, beta, mean, variance = (_named(argument, names) for argument in node.args[1:5])
        if weight is None or not _folds(layer, node):
            for argument in layer.all_input_nodes:
                expected.pop(names.get(argument.name, ""), None)
            continue
        folding = (own, (weight, bias), (gamma, beta, mean, variance), node.args[6])
        expected[weight].append(partial(_folded_weight, *folding))
        for name in (f"{weight}_bias", bias):
            if name:
                expected.setdefault(name, []).append(partial(_folded_bias, *folding))
    return expected


def _constants(program: ExportedProgram) -> dict[str, Weight]:
    """What the program computes of its parameters alone, by the names of the nodes."""
    tensors, plain, exact = _own(program), {}, {}
    placeholders = (node for node in program.graph.nodes if node.op == "placeholder")
    for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
        if spec.target in tensors:
            plain[node] = tensors[spec.target]
            exact[node] = plain[node].double() if plain[node].is_floating_point() else plain[node]
    constant = set(plain)

    def weight(node: fx.Node) -> tuple[np.ndarray, np.ndarray]:
        value, right = _computed(node, plain), _computed(node, exact, torch.float64)
        relative = ROUNDING[onnx.TensorProto.FLOAT16 if value.dtype == torch.float16 else onnx.TensorProto.FLOAT][0]
        noise = (value.double() - right).nan_to_num(0, 0, 0).abs().max()  # where it is infinite, both are
        size = value.double().nan_to_num(0, 0, 0).abs().max() + NOISE / relative * noise
        return value.double().numpy(), np.full(value.shape, float(size))

    found: dict[str, Weight] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and constant.issuperset(node.all_input_nodes):
            constant.add(node)
            if isinstance(node.meta.get("val"), Tensor) and node.meta["val"].numel():
                found[node.name] = partial(weight, node)
    return found


def _computed(node: fx.Node, known: dict[fx.Node, Any], precision: torch.dtype | None = None) -> Any:
    """The value of a constant node; numbers on the way in another precision, if one is given."""

    def argument(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return _computed(value, known, precision)
        return precision if precision and isinstance(value, torch.dtype) and value.is_floating_point else value

    if node not in known:
        function: Any = node.target
        args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), argument)
        with torch.no_grad():
            known[node] = function(*args, **kwargs)
    return known[node]


def _folds(layer: fx.Node, norm: fx.Node) -> bool:
    """Whether a BatchNorm behind a layer can go into its weights in one way only."""
    further = [user for output in norm.users for user in output.users]
    return any(_calls(layer, name) for name in _FOLDED) and not any(_calls(user, _NORM) for user in further)


def _scale(own: Own, norm: Norm, epsilon: float) -> np.ndarray:
    gamma, _, _, variance = norm
    scale: np.ndarray = (own(gamma) if gamma else 1.0) / np.sqrt(own(variance) + epsilon)
    return scale


def _folded_weight(own: Own, layer: Layer, norm: Norm, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """The weight of a layer with the BatchNorm behind it, and its magnitude."""
    weight = own(layer[0])
    folded = weight * _scale(own, norm, epsilon).reshape(-1, *[1] * (weight.ndim - 1))
    return folded, np.abs(folded)


def _folded_bias(own: Own, layer: Layer, norm: Norm, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """The same of its bias."""
    _, beta, mean, _ = norm
    shift = (own(mean) - own(layer[1])) * _scale(own, norm, epsilon)
    return own(beta) - shift, np.abs(own(beta)) + np.abs(shift)


def _calls(node: fx.Node, operator: str) -> bool:
    name = getattr(node.target, "name", None)
    return node.op == "call_function" and callable(name) and str(name()).split(".")[0].rstrip("123d") == operator


def _named(argument: Any, names: dict[str, str]) -> str | None:
    return names.get(argument.name) if isinstance(argument, fx.Node) else None


def _weights(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray, Callable[[np.ndarray], np.ndarray]]]:
    """Name, value float64, and a function from the magnitude it was computed from to what rounding may do to it."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    quantised = {
        node.input[0]: (tensors[node.input[1]], tensors[node.input[2]], _axis(node))
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and tensors.keys() >= set(node.input)
    }
    steps = {name for node in model.graph.node if node.op_type in _QUANTISED for name in node.input[1:]}
    for name, tensor in tensors.items():
        if name in steps:
            continue
        value = numpy_helper.to_array(tensor)
        if name in quantised:
            scale, zero, axis = quantised[name]
            sides = [-1 if side == axis and scale.dims else 1 for side in range(value.ndim)]
            step, start = (numpy_helper.to_array(one).astype(np.float64).reshape(sides) for one in (scale, zero))
            yield name.removesuffix("_quantized"), (value - start) * step, partial(_room, 1e-6, HALF_STEP * step)
        elif tensor.data_type in ROUNDING:
            yield name, value.astype(np.float64), partial(_room, *ROUNDING[tensor.data_type])


def _axis(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)


def _room(relative: float, step: np.ndarray | float, magnitude: np.ndarray) -> np.ndarray:
    return np.asarray(relative * magnitude + step)
