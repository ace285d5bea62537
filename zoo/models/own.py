"""A backbone from a function that builds a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.specs import BackboneSpec, Stage

if TYPE_CHECKING:
    from torch import nn

EXAMPLE_CLASSES = 2


def backbone_from(build: Callable[[int], nn.Module], name: str, head: str | None = None) -> BackboneSpec:
    """A backbone whose stages are the network's top-level children.

    Args:
        build: as of `zoo.specs.BackboneSpec`.
        name: of the backbone.
        head: qualified name of its head; by default that of the last linear layer or 1x1 convolution for K classes.

    Raises:
        UsageError: no head was given, and none was found.
    """
    if head is None:
        head = _find_head(build, name)
    return BackboneSpec(
        name=name, build=build, head=head, stages=_ByChildren(head), min_image_size=1, description="given in Python"
    )


def _find_head(build: Callable[[int], Any], name: str) -> str:
    network = build(EXAMPLE_CLASSES)
    found = [each for each, module in getattr(network, "named_modules", dict)() if _ends(module)]
    if not found:
        raise UsageError(
            f"No linear layer or 1x1 convolution for {EXAMPLE_CLASSES} classes was found in {name}({EXAMPLE_CLASSES}).",
            'Give the name of its head: head="fc"',
            code="head-not-found",
        )
    return str(found[-1])


def _ends(module: nn.Module) -> bool:
    """Whether it is a layer that returns one number for each class of the example."""
    outputs = getattr(module, "out_features", getattr(module, "out_channels", None))
    return outputs == EXAMPLE_CLASSES and getattr(module, "kernel_size", (1, 1)) in ((1, 1), 1)


class _ByChildren:
    """Returns the stages of a network: its top-level children in their order, and the head."""

    def __init__(self, head: str) -> None:
        self.head = head

    def __call__(self, network: nn.Module) -> Sequence[Stage]:
        stages: list[Stage] = []
        waiting = [name for name, _ in _own_tensors(network)]
        for name, child in network.named_children():
            members = list(self._outside_head(name, child))
            waiting += members
            # What has no weights, such as a ReLU, ends the stage before it.
            if members and _has_tensors(child):
                stages.append(Stage(name if name != "head" else "head_body", tuple(waiting)))
                waiting = []
            elif stages:
                stages[-1] = Stage(stages[-1].name, (*stages[-1].members, *waiting))
                waiting = []
        return [*stages, Stage("head", (self.head,))]

    def _outside_head(self, name: str, module: nn.Module) -> Iterator[str]:
        """The module's name, or, where it holds the head, the names of its other parts."""
        if name == self.head:
            return
        if not self.head.startswith(f"{name}."):
            yield name
            return
        yield from (f"{name}.{own}" for own, _ in _own_tensors(module))
        for own, child in module.named_children():
            yield from self._outside_head(f"{name}.{own}", child)


def _own_tensors(module: nn.Module) -> list[tuple[str, Any]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())
