"""Optimisers, and which parameters get which learning rate and decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

Group = tuple[Sequence[nn.Parameter], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions:
    """Of an optimiser.

    Attributes:
        name: `adamw`, `adam` or `sgd`.
        weight_decay: of weights; biases and normalisation layers (one dimension) do not decay.
        momentum, nesterov: of sgd.
    """

    name: str = "adamw"
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True

    @property
    def has_momentum(self) -> bool:
        """Whether a schedule may vary a momentum; Adam's first beta counts as one."""
        return self.name != "sgd" or self.momentum > 0


def make_optimizer(chosen: OptimizerOptions, groups: Sequence[Group], *, fused: bool = True) -> torch.optim.Optimizer:
    """The optimiser of some parameters.

    Args:
        groups: parameters with their peak learning rates.
        fused: whether a step is one kernel, which also takes the scale of fp16 out of the gradients.
    """
    options = []
    for parameters, learning_rate in groups:
        for decays in (True, False):
            own = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decays]
            if own:
                decay = chosen.weight_decay if decays else 0.0
                options.append({"params": own, "lr": learning_rate, "weight_decay": decay})
    if chosen.name == "sgd":
        nesterov = chosen.nesterov and chosen.momentum > 0
        return torch.optim.SGD(options, momentum=chosen.momentum, nesterov=nesterov, fused=fused)
    kind = torch.optim.AdamW if chosen.name == "adamw" else torch.optim.Adam
    return kind(options, fused=fused)
