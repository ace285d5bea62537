"""Which part of a network a phase trains, and how what it learned goes back into the whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.models.state_dict import load_state
from zoo.training.feature_cache import fold, standardise, unfold

State = dict[str, Tensor]


class Part(Protocol):
    """The part that learns.

    Attributes:
        model: takes inputs behind the frozen stages, returns logits.
        goes_back: whether its best state has to be put into the network when the phase ends. Elsewhere the network
            holds what was learned, and continues from the last step.
    """

    model: nn.Module
    goes_back: bool

    def whole(self, state: State) -> State:
        """The network's state dict with a given state of `model`."""
        ...

    def put_back(self, state: State) -> None:
        """Loads a state of `model` into the network."""
        ...


class LivePart:
    """Modules of the network itself: all of it, or what stands behind the frozen stages."""

    goes_back = False

    def __init__(self, network: nn.Module, model: nn.Module) -> None:
        self.network, self.model = network, model

    def whole(self, state: State) -> State:
        return {**self.network.state_dict(), **state}

    def put_back(self, state: State) -> None:
        load_state(self.network, state, strict=False)


class HeadPart:
    """A copy of the head that learns on standardised features, which the kept head takes as they come.

    Args:
        name: of the head's module in the network.
        mean, std: of its inputs, `[F]`.
        keeps: whether it begins with the answers of the network's head; else a linear one begins with zeros.
    """

    goes_back = True

    def __init__(
        self, network: nn.Module, name: str, mean: Tensor, std: Tensor, device: torch.device, *, keeps: bool = False
    ) -> None:
        self.network, self.name, self.mean, self.std = network, name, mean, std
        self.head = network.get_submodule(name)
        self.model = deepcopy(self.head).to(device)
        if keeps:
            unfold(self.model, mean.to(device), std.to(device))
        elif isinstance(self.model, nn.Linear):
            # On standardised features: no class is preferred before the first step. (A ReLU behind would never start.)
            nn.init.zeros_(self.model.weight)
            nn.init.zeros_(self.model.bias)

    def whole(self, state: State) -> State:
        return {**self.network.state_dict(), **self._folded(state)}

    def put_back(self, state: State) -> None:
        load_state(self.network, self._folded(state), strict=False)

    def _folded(self, state: State) -> State:
        kept = deepcopy(self.head).cpu()
        kept.load_state_dict(state)
        fold(kept, self.mean, self.std)
        return {f"{self.name}.{key}": value for key, value in kept.state_dict().items()}


class FrozenStages:
    """Runs frozen stages for every batch, without gradients.

    Args:
        autocast: makes the context of their number format.
    """

    def __init__(self, stages: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        self.stages, self.autocast = stages, autocast

    def __call__(self, pictures: Tensor) -> Tensor:
        with torch.no_grad(), self.autocast():
            features: Tensor = self.stages(pictures)
        return features


class Standardised:
    """What frozen stages give, with mean 0 and deviation 1 per feature."""

    def __init__(self, stages: Callable[[Tensor], Tensor], mean: Tensor, std: Tensor) -> None:
        self.stages, self.mean, self.std = stages, mean, std

    def __call__(self, inputs: Tensor) -> Tensor:
        return standardise(self.stages(inputs).float(), self.mean, self.std)


def unchanged(inputs: Tensor) -> Tensor:
    """Inputs of a phase that has no frozen stages, or whose features are stored."""
    return inputs
