"""The course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LinearLR, OneCycleLR, ReduceLROnPlateau

from zoo.recipes.parsing import epochs_of
from zoo.recipes.recipe import Recipe

WARMUP_SHARE = 0.05
ONECYCLE_RISE = 0.3


class LRSchedule:
    """The learning rate over the optimiser steps of one phase.

    Args:
        epochs, steps_per_epoch: of the phase, in optimiser steps.
    """

    def __init__(self, recipe: Recipe, optimizer: torch.optim.Optimizer, epochs: int, steps_per_epoch: int) -> None:
        self.recipe, self.steps_per_epoch = recipe, steps_per_epoch
        self.total = self.planned = epochs * steps_per_epoch
        warmup = WARMUP_SHARE * epochs if recipe.schedule == "cosine" else 0.0
        warmup = min(epochs, warmup if recipe.warmup_epochs is None else recipe.warmup_epochs)
        default = recipe.schedule == "cosine" and recipe.warmup_epochs is None
        self.warmup = max(int(default), round(warmup * steps_per_epoch))
        self.plateau: ReduceLROnPlateau | None = None
        self.taken = 0
        if recipe.schedule == "onecycle":
            # Smith and Topin, https://arxiv.org/abs/1708.07120
            rising = ONECYCLE_RISE if recipe.warmup_epochs is None else self.warmup / self.total
            peaks = [group["lr"] for group in optimizer.param_groups]
            cycles = recipe.optimizer != "sgd" or recipe.momentum > 0  # else it would bring momentum
            self.scheduler: Any = OneCycleLR(
                optimizer, peaks, total_steps=self.total + 1, pct_start=rising, cycle_momentum=cycles
            )
        elif recipe.schedule == "plateau":
            # Not a closed form: both of these multiply the rate that they find.
            self.scheduler = LinearLR(optimizer, 1 / (self.warmup + 1), total_iters=self.warmup)
            self.plateau = ReduceLROnPlateau(
                optimizer,
                mode="min" if recipe.monitor == "loss" else "max",
                factor=recipe.gamma,
                patience=recipe.patience,
            )
        else:
            self.step_epochs = recipe.step_epochs or max(1, epochs / 3)
            self.milestones = epochs_of("milestones", recipe.milestones)
            self.scheduler = LambdaLR(optimizer, self._factor)
        self._closed_form = isinstance(self.scheduler, LambdaLR)

    def step(self) -> None:
        """After each step of the optimiser."""
        self.taken += 1
        if self.recipe.schedule != "onecycle" or self.taken <= self.total:
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
        # A shorter course has a shorter default warm-up.
        warmup = self.warmup * self.total / self.planned if self.recipe.warmup_epochs is None else self.warmup
        if step < warmup:
            return (step + 1) / (warmup + 1)
        epoch = step / self.steps_per_epoch
        if self.recipe.schedule == "step":
            return float(self.recipe.gamma ** int(epoch / self.step_epochs + 1e-9))
        if self.recipe.schedule == "multistep":
            return float(self.recipe.gamma ** sum(epoch >= milestone for milestone in self.milestones))
        if self.recipe.schedule == "constant":
            return 1.0
        done = (step - warmup) / max(1, self.total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
