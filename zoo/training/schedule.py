"""How the learning rate changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LinearLR, OneCycleLR, ReduceLROnPlateau

WARMUP_SHARE = 0.05
ONECYCLE_RISE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """Of a schedule.

    Attributes:
        name: `constant`, `cosine`, `onecycle`, `step`, `multistep` or `plateau`.
        warmup_epochs: in which the rate rises; None for the schedule's default.
        step_epochs: between two steps of `step`; None for a third of all.
        milestones: epochs after which `multistep` steps.
        gamma: factor of each step.
        patience: epochs that `plateau` waits.
        maximise: whether the figure that `plateau` watches should rise (an accuracy) or fall (a loss).
        cycle_momentum: whether `onecycle` varies the optimiser's momentum.
    """

    name: str = "cosine"
    warmup_epochs: float | None = None
    step_epochs: int | None = None
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    patience: int = 2
    maximise: bool = False
    cycle_momentum: bool = True


class LRSchedule:
    """The learning rate over the optimiser steps of one phase.

    Args:
        epochs, steps_per_epoch: of the phase, in optimiser steps.
    """

    def __init__(
        self, options: ScheduleOptions, optimizer: torch.optim.Optimizer, epochs: int, steps_per_epoch: int
    ) -> None:
        self.options, self.steps_per_epoch = options, steps_per_epoch
        self.total = self.planned = epochs * steps_per_epoch
        warmup = WARMUP_SHARE * epochs if options.name == "cosine" else 0.0
        warmup = min(epochs, warmup if options.warmup_epochs is None else options.warmup_epochs)
        default = options.name == "cosine" and options.warmup_epochs is None
        self.warmup = max(int(default), round(warmup * steps_per_epoch))
        self.plateau: ReduceLROnPlateau | None = None
        self.taken = 0
        if options.name == "onecycle":
            # Smith and Topin, https://arxiv.org/abs/1708.07120
            rising = ONECYCLE_RISE if options.warmup_epochs is None else self.warmup / self.total
            peaks = [group["lr"] for group in optimizer.param_groups]
            cycles = options.cycle_momentum
            self.scheduler: Any = OneCycleLR(
                optimizer, peaks, total_steps=self.total + 1, pct_start=rising, cycle_momentum=cycles
            )
        elif options.name == "plateau":
            # Not a closed form: both of these multiply the rate that they find.
            self.scheduler = LinearLR(optimizer, 1 / (self.warmup + 1), total_iters=self.warmup)
            self.plateau = ReduceLROnPlateau(
                optimizer,
                mode="max" if options.maximise else "min",
                factor=options.gamma,
                patience=options.patience,
            )
        else:
            self.step_epochs = options.step_epochs or max(1, epochs / 3)
            self.scheduler = LambdaLR(optimizer, self._factor)
        self._closed_form = isinstance(self.scheduler, LambdaLR)

    def step(self) -> None:
        """After each step of the optimiser."""
        self.taken += 1
        if self.options.name != "onecycle" or self.taken <= self.total:
            self.scheduler.step()

    def end_epoch(self, monitored: float) -> None:
        """After each epoch, with its validation figure."""
        if self.plateau:
            self.plateau.step(monitored)

    def shorten(self, left: int) -> None:
        """Makes a cosine end after `left` more steps, where that is earlier than planned."""
        self.total = min(self.planned, self.taken + max(1, left))

    def state_dict(self) -> dict[str, Any]:
        plateau = self.plateau.state_dict() if self.plateau else None
        own = {key: value for key, value in self.scheduler.state_dict().items() if key != "lr_lambdas"}
        return {"scheduler": own, "plateau": plateau, "taken": self.taken, "total": self.total}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` returned; the optimiser's own state brings its rates."""
        self.taken, self.total = state["taken"], state["total"]
        functions = {"lr_lambdas": [None] * len(self.scheduler.optimizer.param_groups)}  # LambdaLR asks for them
        self.scheduler.load_state_dict({**state["scheduler"], **(functions if self._closed_form else {})})
        if self.plateau:
            self.plateau.load_state_dict(state["plateau"])

    def _factor(self, step: int) -> float:
        # A shorter schedule has a shorter default warm-up.
        warmup = self.warmup * self.total / self.planned if self.options.warmup_epochs is None else self.warmup
        if step < warmup:
            return (step + 1) / (warmup + 1)
        epoch = step / self.steps_per_epoch
        if self.options.name == "step":
            return float(self.options.gamma ** int(epoch / self.step_epochs + 1e-9))
        if self.options.name == "multistep":
            return float(self.options.gamma ** sum(epoch >= milestone for milestone in self.options.milestones))
        if self.options.name == "constant":
            return 1.0
        done = (step - warmup) / max(1, self.total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
