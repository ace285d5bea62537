"""Optimisers and the course of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

WARMUP_SHARE = 0.05


def make_optimizer(
    name: str, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """`adamw`, `adam` or `sgd`; biases and normalisation layers (one dimension) do not decay."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True, fused=True)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(groups, lr=learning_rate, fused=True)


def make_scheduler(name: str, optimizer: torch.optim.Optimizer, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """A scheduler that steps once per optimiser step.

    `onecycle` is Smith's (https://arxiv.org/abs/1708.07120).
    """
    steps = epochs * steps_per_epoch
    if name == "onecycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=peaks, total_steps=steps + 1)
    if name == "step":
        return StepLR(optimizer, step_size=max(1, steps // 3), gamma=0.1)
    warmup = max(1, round(WARMUP_SHARE * steps))
    return SequentialLR(
        optimizer,
        [
            LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup),
            CosineAnnealingLR(optimizer, T_max=max(1, steps - warmup)),
        ],
        milestones=[warmup],
    )
