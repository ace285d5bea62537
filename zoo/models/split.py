"""Splits a network into a frozen prefix, whose output is computed once, and the rest, which trains.

The cut is between two stages of a torch.fx graph. The modules of the stages are leaves of the graph, so their inside is
never traced. Both halves share their parameters with the network.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from zoo.specs import Stage

BEFORE = -1  # the level of values before the first stage
_PLAIN = (type(None), bool, int, float, str)
FUSED = 1e-3  # the largest difference that fusing may make, relative to the spread of the features


@dataclass(frozen=True, slots=True)
class Halves:
    """`rest(prefix(x)) == network(x)` in eval mode.

    Attributes:
        prefix: float32 `[N, 3, S, S]` in, the features of the cut out.
        rest: those features in, logits `[N, K]` out.
    """

    prefix: nn.Module
    rest: nn.Module


def split_network(network: nn.Module, stages: Sequence[Stage], first: int, example: Tensor) -> Halves | None:
    """Cuts a network before `stages[first]`.

    Args:
        stages: from stem to head.
        first: index of the first stage of the rest, at least 1.
        example: two pictures, float32 `[2, 3, S, S]`, on which the halves are compared with the network.

    Returns:
        None where the network cannot be cut there: it cannot be traced, training and eval mode differ, more than one
        value crosses the cut, or the halves give other logits.
    """
    graph = _trace(network, stages)
    halves = _cut(network, graph, stages, first) if graph else None
    found = [halves] if halves else []
    if first == len(stages) - 1:  # the contract: its output is the network's
        head = network.get_submodule(stages[first].members[0])
        found = [*(Halves(each.prefix, head) for each in found), Halves(_HeadInput(network, head), head)]
    return next((each for each in found if _same(network, each, example)), None)


def without_batchnorm(prefix: nn.Module, example: Tensor) -> nn.Module:
    """A copy in eval mode. Where possible, each BatchNorm is fused into the convolution before it.

    Args:
        example: two pictures, float32 `[2, 3, S, S]`, on which both are compared.
    """
    from torch.fx.experimental.optimization import fuse

    copied = deepcopy(prefix).eval()
    try:
        fused: nn.Module = fuse(copied).eval()
    except Exception:  # control flow that depends on data: tracing raises anything
        return copied
    with torch.inference_mode():
        found, expected = fused(example), copied(example)
    # A convolution that is called twice is fused wrongly.
    same = found.shape == expected.shape and float((found - expected).abs().max()) <= FUSED * float(expected.std())
    return fused if same else copied


class _HeadInput(nn.Module):
    """From pictures to the input of the head, for any architecture."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, images: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
        try:
            self.network(images)
        finally:
            hook.remove()
        return caught[-1]


class _StageTracer(fx.Tracer):
    """Traces only the modules that contain stages."""

    def __init__(self, members: Sequence[str]) -> None:
        super().__init__()
        self.members = members

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return not any(member.startswith(f"{module_qualified_name}.") for member in self.members)


def _trace(network: nn.Module, stages: Sequence[Stage]) -> fx.Graph | None:
    """The network's graph, or None where training and eval mode have different graphs."""
    members = [member for stage in stages for member in stage.members]
    was_training = network.training
    try:
        given = _defaults(network)
        graphs = [_StageTracer(members).trace(network.train(mode), given) for mode in (True, False)]
    except Exception:  # the forward of a third-party network may raise anything at a proxy
        return None
    finally:
        network.train(was_training)
    return graphs[0] if str(graphs[0]) == str(graphs[1]) else None


def _defaults(network: nn.Module) -> dict[str, Any]:
    """The arguments beside the pictures. Traced as they are, a `mask=None` would be a mask that is there."""
    _, *others = inspect.signature(network.forward).parameters.values()
    return {each.name: each.default for each in others if isinstance(each.default, _PLAIN)}


def _cut(network: nn.Module, graph: fx.Graph, stages: Sequence[Stage], first: int) -> Halves | None:
    levels = _levels(network, graph, stages, keep_random=first < len(stages) - 1)
    before = [node for node in graph.nodes if levels[node] < first and node.op != "output"]
    inside = set(before)
    crossing = {source for node in graph.nodes if node not in inside for source in node.all_input_nodes} & inside
    batch_sizes = {node for node in crossing if _is_batch_size(node)}
    if len(crossing - batch_sizes) != 1:
        return None
    (value,) = crossing - batch_sizes
    prefix = fx.Graph()
    copied: dict[fx.Node, fx.Node] = {}
    for node in before:
        copied[node] = prefix.node_copy(node, copied.__getitem__)
    prefix.output(copied[value])
    rest = fx.Graph()
    features = rest.placeholder("features")
    copied = {value: features, **{node: rest.call_method("size", (features, 0)) for node in batch_sizes}}
    for node in graph.nodes:
        if node not in inside:
            copied[node] = rest.node_copy(node, copied.__getitem__)
    return Halves(fx.GraphModule(network, prefix), fx.GraphModule(network, rest))


def _levels(network: nn.Module, graph: fx.Graph, stages: Sequence[Stage], *, keep_random: bool) -> dict[fx.Node, int]:
    """The last stage that each value depends on.

    An operation outside all stages, such as a pooling, goes with its input. A dropout goes with the stage after it if
    it must be kept. (If only the head trains, it trains on the input of its layer.)
    """
    levels: dict[fx.Node, int] = {}
    for node in graph.nodes:
        level = max((levels[source] for source in node.all_input_nodes), default=BEFORE)
        named = node.op in ("call_module", "get_attr")
        own = [index for index, stage in enumerate(stages) if named and stage.holds(str(node.target))]
        if own:
            level = max(level, *own)
        elif keep_random and node.op == "call_module" and _is_random(network.get_submodule(str(node.target))):
            level += 1
        levels[node] = level
    return levels


def _is_batch_size(node: fx.Node) -> bool:
    return node.op == "call_method" and node.target == "size" and node.args[1:] == (0,)


def _is_random(module: nn.Module) -> bool:
    return any(isinstance(part, nn.modules.dropout._DropoutNd) for part in module.modules())


def _same(network: nn.Module, halves: Halves, example: Tensor) -> bool:
    was_training = network.training
    network.eval()
    halves.prefix.eval()
    halves.rest.eval()
    try:
        with torch.inference_mode():
            expected = network(example)
            try:
                found = halves.rest(halves.prefix(example))
            except Exception:  # a graph that was traced with a wrong assumption raises anything
                return False
    finally:
        network.train(was_training)
    return bool(torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max() + 1e-30)))
