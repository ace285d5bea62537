"""Where an ONNX file departs from the program it was written from.

Logits are too coarse to show one weight changed by a percent among millions. torch.onnx names the values of a file
after the nodes of the torch.export program that it translates, so that the two can be compared value by value: each
node of the program is computed by PyTorch *from the file's own values before it*, and its result held against the
file's. Rounding does not add up on the way, and every node is judged by itself.

Measured per channel, relative to the channel's spread (the standard deviation of its values).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from zoo_exporters.onnx_run import runtime

PICTURES = 2
CHUNK_BYTES = 2**28  # of values that are held at a time
# Largest difference allowed, in units of a channel's spread.
TOLERANCE = {np.dtype(np.float32): 3e-5, np.dtype(np.float16): 1e-2}
ROUNDING = 16  # steps of a value's own floating-point format that it may differ by besides
QUIET = 0.01  # of the whole value's spread: a channel with less counts as one with so much


@dataclass(frozen=True, eq=False)
class Departure:
    """The function `zoo.specs.Written.departure` of an ONNX file.

    Attributes:
        classifier: whose weights the program must have.
        program: as torch.onnx translated it.
        values: those of the program that the file was written with.
    """

    classifier: nn.Module
    program: ExportedProgram
    values: frozenset[str]

    def __call__(self, path: Path, images: np.ndarray) -> str | None:
        """Takes a file and pictures, in the shape that the file takes; returns a sentence or None."""
        changed = _changed_weight(self.classifier, self.program)
        if changed:
            return changed
        walk = _Walk(self.program, self.values, path, images[:PICTURES])
        try:
            with torch.no_grad():
                walk.run(*_arguments(self.program, torch.from_numpy(images[:PICTURES].copy())))
        except _DepartedError as departed:
            return str(departed)
        return None


def departure(classifier: nn.Module, exported: Any) -> Departure:
    """Takes a torch.onnx.ONNXProgram before it is written."""
    program = exported.exported_program
    written = {value.name for node in exported.model.graph for value in node.outputs}
    return Departure(classifier, program, frozenset(written.intersection(names_in_file(program).values())))


class _DepartedError(Exception):
    pass


class _Walk(fx.Interpreter):
    """Computes a program node by node and goes on with the file's values."""

    def __init__(self, program: ExportedProgram, expected: frozenset[str], path: Path, images: np.ndarray) -> None:
        super().__init__(program.graph_module)
        model = onnx.load(path, load_external_data=False)
        self.producers = {name: node for node in model.graph.node for name in node.output if name}
        self.names = names_in_file(program)
        self.expected = expected
        wanted = [node for node in program.graph.nodes if self.names.get(node) in self.producers]
        self.compared = set(wanted)
        self.values = _values(model, path, images, [(self.names[node], _bytes(node, images)) for node in wanted])

    def run_node(self, n: fx.Node) -> Any:
        own = super().run_node(n)
        name = self.names.get(n)
        if n not in self.compared:
            if name in self.expected:
                raise _DepartedError(f"The file has no value '{name}', which {self._place(n)} computes.")
            return own
        found_name, got = next(self.values)
        assert found_name == name
        if not isinstance(own, Tensor):
            return self._same(n, own, got)
        want = own.numpy()
        if want.shape != got.shape or want.dtype != got.dtype:
            what = f"is {got.dtype} {list(got.shape)} instead of {want.dtype} {list(want.shape)}"
            raise _DepartedError(self._sentence(n, what))
        excess, size = difference(want, got)
        if not excess <= 1:
            raise _DepartedError(self._sentence(n, f"differs by {size:.2g} of its spread"))
        return torch.from_numpy(got)

    def _same(self, n: fx.Node, own: Any, got: np.ndarray) -> Any:
        if own != got.item():
            raise _DepartedError(self._sentence(n, f"is {got.item()} instead of {own}"))
        return own

    def _sentence(self, n: fx.Node, what: str) -> str:
        node = self.producers[self.names[n]]
        return f"The value of node '{node.name}' ({node.op_type}), which {self._place(n)} computes, {what}."

    def _place(self, n: fx.Node) -> str:
        """The modules whose work it is: BatchNorms are folded into the convolutions before them."""
        modules: dict[str, None] = {}
        left = [n]
        while left:
            node = left.pop()
            stack = node.meta.get("nn_module_stack") or {}
            path = next(reversed(stack.values()))[0].split("@")[0] if stack else ""
            modules[path] = None
            left += [one for one in node.all_input_nodes if one.op == "call_function" and one not in self.compared]
        named = [path for path in reversed(modules) if path]
        return " and ".join(named) or "the program's end"


def names_in_file(program: ExportedProgram) -> dict[fx.Node, str]:
    """The names that torch.onnx gives to the values of a program."""
    names: dict[Any, str] = {node: node.name for node in program.graph.nodes if node.op == "call_function"}
    outputs = program.graph.output_node().args[0]
    assert isinstance(outputs, tuple)
    return names | dict(zip(outputs, ("logits", "probabilities"), strict=True))


def difference(want: np.ndarray, got: np.ndarray) -> tuple[float, float]:
    """The largest difference in units of what is allowed, and of the spread."""
    if want.dtype not in TOLERANCE:
        return (0.0, 0.0) if np.array_equal(want, got) else (math.inf, math.inf)
    if not want.size:
        return 0.0, 0.0
    distance = np.abs(want.astype(np.float64) - got)
    spread = want.std(dtype=np.float64)
    if want.ndim > 2:  # noqa: PLR2004
        channels = 1 if want.ndim > 3 else 2  # noqa: PLR2004  (maps [N, C, H, W], tokens [N, T, C])
        others = tuple(axis for axis in range(want.ndim) if axis != channels)
        spread = np.maximum(want.std(axis=others, dtype=np.float64, keepdims=True), QUIET * spread)
    rounding = ROUNDING * np.finfo(want.dtype).eps * np.abs(want, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = distance / (TOLERANCE[want.dtype] * spread + rounding)
        relative = distance / spread
    excess[distance == 0] = relative[distance == 0] = 0
    return float(excess.max()), float(relative.max())


def _changed_weight(classifier: nn.Module, program: ExportedProgram) -> str | None:
    """Names the first parameter or buffer of the program that is not the classifier's."""
    own: Mapping[str, Tensor] = dict([*classifier.named_parameters(), *classifier.named_buffers()])
    for name, value in [*program.state_dict.items(), *program.constants.items()]:
        if name in own and not torch.equal(own[name].detach().cpu().float().to(value.dtype), value):
            return f"The file was written with another {name} than the classifier's."
    return None


def _arguments(program: ExportedProgram, images: Tensor) -> list[Any]:
    """What the graph of a program takes: its parameters, buffers and constants, and the input."""
    own = program.state_dict | program.constants
    return [images if spec.target is None else own[spec.target] for spec in program.graph_signature.input_specs]


def _bytes(node: fx.Node, images: np.ndarray) -> int:
    """About how large a value is: sides that only the pictures tell are theirs."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return 8
    sides: list[Any] = list(value.shape)
    free = sum(not isinstance(side, int) for side in sides)
    known = math.prod(side for side in sides if isinstance(side, int))
    return int((images.size if free > 1 else len(images) * known) * value.dtype.itemsize)


def _values(
    model: onnx.ModelProto, path: Path, images: np.ndarray, wanted: list[tuple[str, int]]
) -> Iterator[tuple[str, np.ndarray]]:
    """The named values of a file in that order, few at a time in memory."""
    onnxruntime = runtime()
    declared = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name, _ in wanted if name not in declared)
    own = onnxruntime.SessionOptions()
    own.log_severity_level = 4
    own.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    own.intra_op_num_threads = torch.get_num_threads()
    own.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    session = onnxruntime.InferenceSession(model.SerializeToString(), own, providers=["CPUExecutionProvider"])
    chunk: list[str] = []
    size = 0
    for index, (name, nbytes) in enumerate(wanted):
        chunk.append(name)
        size += nbytes
        if size >= CHUNK_BYTES or index == len(wanted) - 1:
            arrays = session.run(chunk, {"image": images})
            arrays.reverse()
            for one in chunk:
                yield one, arrays.pop()
            chunk, size = [], 0
