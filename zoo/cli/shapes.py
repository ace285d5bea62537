"""What each stage of a backbone puts out, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.errors import MissingExtraError

if TYPE_CHECKING:
    from torch import nn

    from zoo.specs import BackboneSpec, Stage

NUM_CLASSES = 1000


@dataclass(frozen=True)
class StageShape:
    """A stage's output for one picture, None where no module of it puts out a tensor, and its parameters."""

    name: str
    output: tuple[int, ...] | None
    parameters: int


def default_size(spec: BackboneSpec) -> int:
    """The side in pixels that its weights were trained at, else the smallest that it takes."""
    return spec.weights.image_size if spec.weights and not spec.fixed_image_size else spec.min_image_size


def stage_shapes(spec: BackboneSpec, size: int, classes: int) -> list[StageShape]:
    """Builds a backbone and runs it on one picture of `size` pixels a side.

    Neither memory nor arithmetic is spent where the network allows for it (torch's meta device). Raises
    `MissingExtraError` without torch, `UsageError` for a size that the network does not take.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("Building a backbone", "train") from None

    from zoo.models.image_size import check_size
    from zoo.registry.factories import calling

    check_size(size, spec)

    def run(device: str) -> list[StageShape]:
        with torch.inference_mode():
            with _parameters_on(device):
                network = spec.build(classes).eval().to(device)
            stages = spec.stages(network)
            outputs = _watch(network, stages)
            with torch.device(device):
                network(torch.zeros(1, 3, size, size))
        return [
            StageShape(
                stage.name, outputs.get(stage.name), sum(parameter.numel() for parameter in stage.parameters(network))
            )
            for stage in stages
        ]

    owner, what = f"The backbone '{spec.name}'", "build, stages or forward"
    try:
        with calling(owner, what):
            return run("meta")
    except Exception:  # a network that reads its own values cannot run there
        with calling(owner, what):
            return run("cpu")


@contextmanager
def _parameters_on(device: str) -> Iterator[None]:
    """Parameters move when modules register them, before they are initialised.

    Not `torch.device(device)`: RegNet computes its widths with tensors, and those on meta hold nothing.
    """
    from torch import nn
    from torch.nn.modules.module import register_module_parameter_registration_hook

    def move(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        return parameter if parameter is None else nn.Parameter(parameter.to(device), parameter.requires_grad)

    # torch's annotation forgets that what the hook returns takes the parameter's place
    handle = register_module_parameter_registration_hook(move)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def _watch(network: nn.Module, stages: Sequence[Stage]) -> dict[str, tuple[int, ...]]:
    """Fills the table it returns with the shape of the last output of each stage."""
    from torch import Tensor

    shapes: dict[str, tuple[int, ...]] = {}
    modules = dict(network.named_modules())

    def watch(stage: str, module: nn.Module) -> None:
        def record(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                shapes[stage] = tuple(output.shape[1:])

        module.register_forward_hook(record)

    for stage in stages:
        for member in stage.members:
            if member in modules:
                watch(stage.name, modules[member])
    return shapes
