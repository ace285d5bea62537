"""Finds the place where an ONNX file diverges from the program that it was written from.

Logits are too coarse to show that one weight among millions changed by a percent. torch.onnx names the values of a file
after the nodes of the torch.export program that it translates. So the two can be compared value by value. PyTorch
computes each node of the program *from the file's own values before it*, and the result is compared with the file's.
Rounding errors do not add up, and every node is judged alone.

Differences are measured per channel, relative to the channel's spread (the standard deviation of its values).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from zoo.specs import WriteOptions
from zoo_exporters.onnx_values import FileError, values
from zoo_exporters.onnx_weights import changed_weight

PICTURES = 2
# Up to this difference, in units of a channel's spread, a value passes without a closer look.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3}
# Runtimes compute the position of a pixel in fp32. On a slope of 255 levels per pixel, that caused 2.5e-5.
RESIZED = 5e-4
APPROXIMATED = re.compile("silu|sigmoid|gelu|tanh|softmax|exp|erf")
ROUNDING = 4  # allowed difference in steps of the value's own floating-point format, in addition
NOISE = 10  # a closer look allows this many times PyTorch's own rounding error against float64


@dataclass(frozen=True, eq=False)
class Divergence:
    """The function `zoo.specs.Written.divergence` of an ONNX file.

    Attributes:
        classifier: whose weights the program must have.
        program: as torch.onnx translated it.
        values: names of the program's values that are compared in the file.
    """

    classifier: nn.Module
    program: ExportedProgram
    values: frozenset[str]

    def __call__(self, path: Path, images: np.ndarray) -> str | None:
        """A sentence about the first difference in a file, or None. Takes the pictures in the shape of its input."""
        changed = _changed_weight(self.classifier, self.program)
        return changed or self._changed_value(path, images) or changed_weight(self.classifier, self.program, path)

    def _changed_value(self, path: Path, images: np.ndarray) -> str | None:
        if not self.values:
            return None
        try:
            with torch.no_grad():
                walk = _Walk(self.program, self.values, path, images[:PICTURES])
                walk.run(*_arguments(self.program, torch.from_numpy(images[:PICTURES].copy())))
        except (_DivergedError, FileError) as diverged:
            return str(diverged)
        return None


def divergence(classifier: nn.Module, exported: Any, path: Path, options: WriteOptions) -> Divergence:
    """Takes a torch.onnx.ONNXProgram, and the file that was made of it.

    fp32 compares values only for `--parity full`: its logits show a wrong preprocessing. The bounds of lower precisions
    may be too wide for that, so they always compare the values of the preprocessing. int8 changes all others.
    """
    program = exported.exported_program
    lower, everything = options.precision != "fp32", options.parity == "full" and options.precision != "int8"
    graph = onnx.load(path, load_external_data=False).graph
    there = {name for node in graph.node for name in node.output}
    values = {
        name
        for node, name in names_in_file(program).items()
        if name in there and (everything or (lower and _module(node).startswith("preprocess")))
    }
    return Divergence(classifier, program, frozenset(values))


class _DivergedError(Exception):
    pass


class _Walk(fx.Interpreter):
    """Computes a program node by node, each from the file's values."""

    def __init__(self, program: ExportedProgram, expected: frozenset[str], path: Path, images: np.ndarray) -> None:
        super().__init__(program.graph_module)
        self.extra_traceback = False  # it would be added to the sentence
        model = onnx.load(path, load_external_data=False)
        self.producers = {name: node for node in model.graph.node for name in node.output if name}
        self.names = names_in_file(program)
        self.expected = expected
        wanted = [node for node in program.graph.nodes if self.names.get(node) in expected & self.producers.keys()]
        self.compared = set(wanted)
        sizes = [(self.names[node], _bytes(node, images)) for node in wanted]
        self.values = values(model, path, images, sizes, torch.get_num_threads())
        self._keep_what_a_closer_look_needs()

    def run_node(self, n: fx.Node) -> Any:
        own = super().run_node(n)
        name = self.names.get(n)
        if n not in self.compared:
            if name in self.expected:
                raise _DivergedError(f"The file has no value '{name}', which {self._place(n)} computes.")
            return own
        found_name, array = next(self.values)
        assert found_name == name
        if not isinstance(own, Tensor):
            if own != array.item():
                raise _DivergedError(self._sentence(n, f"is {array.item()} instead of {own}"))
            return own
        got = torch.from_numpy(array)
        if own.shape != got.shape or own.dtype != got.dtype:
            what = f"is {got.dtype} {list(got.shape)} instead of {own.dtype} {list(own.shape)}"
            raise _DivergedError(self._sentence(n, what))
        if own.dtype not in TOLERANCE:
            if not torch.equal(own, got):
                raise _DivergedError(self._sentence(n, "is different"))
        elif not self._resized(n, own, got) and not self._close(n, own, got):
            raise _DivergedError(self._sentence(n, f"differs by {diverged(own, got):.2g} of its spread"))
        return got

    def _close(self, n: fx.Node, own: Tensor, got: Tensor) -> bool:
        rough = bool(APPROXIMATED.search(str(n.target)))
        return close(own, got, approximate=rough) or close(own, got, self._precise(n), approximate=rough)

    def _resized(self, n: fx.Node, own: Tensor, got: Tensor) -> bool:
        """Whether a value of the preprocessing is the same, pixels up to `RESIZED` of their spread."""
        pixels = own.is_floating_point() and _module(n).startswith("preprocess")
        return pixels and bool(((own - got).abs() <= RESIZED * spread(own.double())).all())

    def _region(self, n: fx.Node) -> list[fx.Node]:
        """A node and those before it that no value of the file stands for, in the order of their work."""
        found = {n: None}
        left = [n]
        while left:
            for node in left.pop().all_input_nodes:
                if node.op == "call_function" and node not in self.compared and node not in found:
                    found[node] = None
                    left.append(node)
        return sorted(found)

    def _keep_what_a_closer_look_needs(self) -> None:
        """Values are dropped behind their last use: `_precise` is one more."""
        seen: set[fx.Node] = set()
        self.user_to_last_uses: dict[fx.Node, list[fx.Node]] = {}
        for node in reversed(self.graph.nodes):
            region = self._region(node) if node in self.compared else [node]
            used = {one for part in region for one in part.all_input_nodes} - seen
            self.user_to_last_uses[node] = list(used)
            seen |= used

    def _precise(self, n: fx.Node) -> Tensor:
        """The value of a node in float64, from the file's values before it."""
        known: dict[fx.Node, Any] = {}
        for node in self._region(n):
            args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), lambda a: self._in_float64(a, known))
            function: Any = node.target
            known[node] = function(*args, **kwargs)
        value: Tensor = known[n]
        return value

    def _in_float64(self, argument: Any, known: dict[fx.Node, Any]) -> Any:
        if argument in TOLERANCE:
            return torch.float64
        if not isinstance(argument, fx.Node):
            return argument
        value = known[argument] if argument in known else self.env[argument]
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    def _sentence(self, n: fx.Node, what: str) -> str:
        node = self.producers[self.names[n]]
        return f"The value of node '{node.name}' ({node.op_type}), which {self._place(n)} computes, {what}."

    def _place(self, n: fx.Node) -> str:
        """The modules whose work it is: BatchNorms are folded into the convolutions before them."""
        modules: dict[str, None] = {}
        for node in self._region(n):
            modules[_module(node)] = None
        return " and ".join(path for path in modules if path) or "the end of the program"


def _module(node: fx.Node) -> str:
    """The module that computes a node, empty for what is in none."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(next(reversed(stack.values()))[0].split("@")[0]) if stack else ""


def names_in_file(program: ExportedProgram) -> dict[fx.Node, str]:
    """The names that torch.onnx gives to the values of a program."""
    names: dict[Any, str] = {node: node.name for node in program.graph.nodes if node.op == "call_function"}
    outputs = program.graph.output_node().args[0]
    assert isinstance(outputs, tuple)
    # In front of them stand buffers that a BatchNorm in training mode would change.
    own = outputs[-len(program.graph_signature.user_outputs) :]
    return names | dict(zip(own, ("logits", "probabilities", "heatmap"), strict=False))


def close(own: Tensor, got: Tensor, precise: Tensor | None = None, *, approximate: bool = False) -> bool:
    """Whether a value of the file is PyTorch's own, up to rounding.

    Without `precise`, rounding is assumed to be small against the spread of a channel. That is wrong if large numbers
    cancel. `precise` is the same value in float64 and shows how much PyTorch itself rounds. Functions that runtimes
    approximate (`approximate`), such as the sigmoid, round by the size of their input.
    """
    masked = own.isinf() & (own == got)
    own, got = own.masked_fill(masked, 0), got.masked_fill(masked, 0)
    precise = None if precise is None else precise.masked_fill(masked, 0)
    values = own.double()
    size = values.abs().amax() if approximate else values.abs()
    allowed = ROUNDING * torch.finfo(own.dtype).eps * size
    if precise is None:
        allowed = allowed + TOLERANCE[own.dtype] * spread(values)
        distance = (values - got).abs()
    else:
        noise = _over_channel((values - precise).abs(), "amax")
        allowed = allowed + NOISE * torch.maximum(noise, noise.mean())
        distance = (precise - got).abs()
    return bool((distance <= allowed).all())  # also False for NaN


def diverged(own: Tensor, got: Tensor) -> float:
    """The largest difference in units of the spread; infinite for NaN."""
    values = own.double()
    distance = (values - got).abs()
    return float(torch.where(distance == 0, 0, distance / spread(values)).nan_to_num(torch.inf).max())


def spread(values: Tensor) -> Tensor:
    """The standard deviation in each channel of maps `[N, C, H, W]` or tokens `[N, T, C]`, or of all values."""
    return _over_channel(values, "std")


def _over_channel(values: Tensor, what: Literal["std", "amax"]) -> Tensor:
    channel = {4: 1, 3: 2}.get(values.ndim)
    dims = [dim for dim in range(values.ndim) if dim != channel]
    if what == "amax":
        return values.amax(dims, keepdim=True)
    return values.std(dims, correction=0, keepdim=True)


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
