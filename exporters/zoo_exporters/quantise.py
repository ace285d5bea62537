"""Static int8 quantisation of an ONNX file (QDQ): the network in integers, everything around it in float.

Activations are uint8 with a zero point, weights int8 per output channel. Weights use 7 of 8 bits: without VNNI, x86
multiplies uint8 by int8 into sums of 16 bits that saturate, and a file would give other answers on such processors
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html#when-and-why-do-i-need-to-try-u8u8).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ExportError, MissingExtraError, ZooError
from zoo_exporters.ranges import Feeds, save_ranges
from zoo_exporters.sensitivity import worst_first

if TYPE_CHECKING:
    from zoo.specs import Calibration, PreprocessSpec

WEIGHT_BITS = 7
RANKING_PICTURES = 8
FP16 = "Export it with --precision fp16."

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FOLLOWING = ("Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
_SIZES = ("Shape", "Size")
_ACTIVATIONS = ("Relu", "Clip")  # merged into a quantised layer before them


def quantise(source: Path, target: Path, calibration: Calibration, spec: PreprocessSpec | None) -> dict[str, Any]:
    """Quantises a file of `zoo_exporters.onnx.write`. Keeps layers in float until the loss is within the budget.

    Args:
        source: the file in fp32.
        target: where the int8 file goes; it may be `source`.
        spec: the preprocessing if the file takes tensors, None if it takes pixels.

    Returns:
        Facts for the card: `method`, `pictures`, `weight_bits`, `layers` (how many could be quantised),
        `float_layers` (names of those that were not), `lost_points` and `budget_points` of accuracy.

    Raises:
        ExportError: there are no layers to quantise, the loss is too large with half of them in float, or onnxruntime
            is too old.
    """
    try:
        import onnx
        import onnxruntime.quantization
    except ImportError:
        raise MissingExtraError("Quantising ONNX files", "onnx") from None
    if not hasattr(onnxruntime.quantization, "save_tensors_data"):
        raise ExportError(
            f"int8 needs onnxruntime 1.27, and {onnxruntime.__version__} is installed.",
            f"Run: pip install --upgrade onnxruntime. {FP16}",
            code="int8-old-onnxruntime",
        )
    with tempfile.TemporaryDirectory() as place, _quiet():
        folder = Path(place)
        model = onnx.load(source)
        nodes = _network(model.graph)
        if not any(node.op_type in _WEIGHTED for node in nodes):
            raise ExportError("The network has no layer that int8 supports.", FP16, code="int8-no-layer")
        _block_transposes(model.graph)
        onnx.save(model, folder / "float.onnx")
        feeds = Feeds(calibration.pictures, spec)
        try:
            save_ranges(folder, [*_WEIGHTED, *_FOLLOWING], feeds, calibration.method)
            return _within_budget(folder, target, nodes, feeds, calibration)
        except (OSError, ZooError):
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ExportError(f"The network cannot be quantised: {reason}", FP16, code="int8-failed") from error


def _within_budget(
    folder: Path, target: Path, nodes: Sequence[Any], feeds: Feeds, calibration: Calibration
) -> dict[str, Any]:
    layers = [node for node in nodes if node.op_type not in _ACTIVATIONS]
    ranked: list[Any] = []
    count, most = 0, len(layers) // 2
    while True:
        kept = {node.name for node in ranked[:count]}
        _write(folder, target, [node.name for node in nodes if node.name not in kept])
        lost = calibration.loss(target)
        if lost <= calibration.budget:
            break
        ranked = ranked or worst_first(folder / "float.onnx", target, layers, feeds.first(RANKING_PICTURES))
        count, before = min(2 * count or 1, most), count
        if count == before:
            raise ExportError(
                f"int8 loses {lost:.2f} points of accuracy with {len(kept)} of {len(layers)} layers in float. On "
                f"the validation pictures it may lose {calibration.budget:g}.",
                "Calibrate with more pictures (--calibration-pictures) or another --calibration-method. Or allow a "
                "larger --accuracy-budget, or use --precision fp16.",
                code="int8-over-budget",
            )
    return {
        "method": calibration.method,
        "pictures": len(calibration.pictures),
        "weight_bits": WEIGHT_BITS,
        "layers": len(layers),
        "float_layers": [_module(node) for node in layers if node.name in kept],
        "lost_points": round(lost, 3),
        "budget_points": calibration.budget,
    }


def _network(graph: Any) -> list[Any]:
    """The nodes to quantise. Preprocessing has no weighted layer, so the network begins at the first one."""
    weights = {tensor.name for tensor in graph.initializer}
    inside: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type in _SIZES:  # integers, which a Concat may join
            continue
        begins = node.op_type in _WEIGHTED and not weights.isdisjoint(node.input)
        if begins or not inside.isdisjoint(node.input):
            inside.update(node.output)
            if begins or node.op_type in _FOLLOWING:
                found.append(node)
    return found


def _block_transposes(graph: Any) -> None:
    """Merges the Sub and Div that normalise pixels into one Conv.

    onnxruntime moves transpositions for its integer layers to the front. Then Sub and Div broadcast along a last axis
    of 3, which took 8 of MobileNetV2's 37 ms. Transpositions do not move past a Conv.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    divide = next((node for node in graph.node if node.op_type == "Div" and "preprocess.std" in node.input), None)
    subtract = makers.get(divide.input[0]) if divide else None
    if divide is None or subtract is None or subtract.op_type != "Sub" or "preprocess.mean" not in subtract.input:
        return
    mean, std = (numpy_helper.to_array(constants[f"preprocess.{name}"]).reshape(-1) for name in ("mean", "std"))
    weight, bias = (1 / std).reshape(-1, 1, 1, 1), -mean / std
    for name, values in (("preprocess.weight", weight), ("preprocess.bias", bias)):
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    inputs = [subtract.input[0], "preprocess.weight", "preprocess.bias"]
    place = list(graph.node).index(divide)
    graph.node.insert(
        place, helper.make_node("Conv", inputs, list(divide.output), name="node_normalise", group=len(mean))
    )
    for node in (divide, subtract):
        graph.node.remove(node)
    for name in ("preprocess.mean", "preprocess.std"):
        graph.initializer.remove(constants[name])


def _write(folder: Path, target: Path, nodes: list[str]) -> None:
    import onnx
    from onnx.helper import find_min_ir_version_for
    from onnxruntime.quantization import CalibrationMethod, QuantType, load_tensors_data, quantize_static

    method: CalibrationMethod = load_tensors_data(folder / "ranges.json").calibration_method
    quantize_static(
        folder / "float.onnx",
        folder / "int8.onnx",
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=nodes,
        calibrate_method=method,
        calibration_cache_path=folder / "ranges.json",
        # Logits stay exact for comparison, and products of two activations have no weights to shrink.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"], "MatMulConstBOnly": True},
    )
    model = onnx.load(folder / "int8.onnx")
    del model.metadata_props[:], model.graph.value_info[:]
    model.ir_version = find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    onnx.save(model, target)


def _module(node: Any) -> str:
    """The module that a layer's weights belong to, else the name of its node."""
    names = (name.removesuffix(".T") for name in node.input if name.startswith("network."))
    weight = next((name for name in names if name.endswith(".weight")), None)
    return weight.removeprefix("network.").removesuffix(".weight") if weight else str(node.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's quantisation prints its progress, and warns of what is done here on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
