"""Optimisers, and which parameters get which learning rate and decay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from zoo.recipes.recipe import Recipe

Group = tuple[Sequence[nn.Parameter], float]


def make_optimizer(recipe: Recipe, groups: Sequence[Group], weight_decay: float) -> torch.optim.Optimizer:
    """`adamw`, `adam` or `sgd`.

    Args:
        groups: parameters and their peak learning rate.
        weight_decay: of weights; biases and normalisation layers (one dimension) do not decay.
    """
    options = []
    for parameters, learning_rate in groups:
        for decays in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decays]
            if chosen:
                options.append({"params": chosen, "lr": learning_rate, "weight_decay": weight_decay if decays else 0.0})
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(options, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(options, fused=True)
