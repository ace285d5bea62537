"""What learns in one phase: model, optimiser, schedule and the average of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.errors import TrainingError
from zoo.models.state_dict import load_state
from zoo.training.distributed import World
from zoo.training.optim import OptimizerOptions, make_optimizer
from zoo.training.parts import State
from zoo.training.phase import Phase
from zoo.training.schedule import LRSchedule, ScheduleOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningOptions:
    """How weights change.

    Attributes:
        accumulate: batches whose gradients are added up before the optimiser steps.
        clip_norm: largest norm of the gradient, None for any.
        ema: decay of an average over the weights, None for no average.
        compile: whether the network is compiled.
    """

    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    compile: bool = False


class TrainState:
    """A phase while it trains.

    Args:
        batches: per epoch.

    Attributes:
        model: takes what the phase's frozen stages give, returns logits.
    """

    def __init__(self, options: LearningOptions, phase: Phase, batches: int) -> None:
        self.options, self.phase = options, phase
        # Clipping needs the gradients without the scale of fp16, before the optimiser steps.
        scaled = getattr(phase.fabric.strategy.precision, "scaler", None) is not None
        self.optimizer = make_optimizer(options.optimizer, phase.groups, fused=not (options.clip_norm and scaled))
        steps = -(-batches // options.accumulate)
        self.schedule = LRSchedule(options.schedule, self.optimizer, phase.epochs, steps)
        self.average = make_average(phase.model, options.ema)
        module: Any = torch.compile(phase.model) if options.compile else phase.model
        self.model, self._wrapped = phase.fabric.setup(module, self.optimizer)

    @property
    def eval_model(self) -> nn.Module:
        """What is validated: the average where there is one."""
        # Behind DistributedDataParallel every process would have to call it equally often.
        return self.ema_or_model if self.average or self.phase.fabric.world_size > 1 else self.model

    @property
    def ema_or_model(self) -> nn.Module:
        """What is validated and kept, without what Fabric puts around it."""
        return self.average.module if self.average else self.phase.model

    @property
    def learning_rate(self) -> float:
        """Of the head."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def train(self) -> None:
        """Training mode, but for what is frozen."""
        self.model.train()
        for module in self.phase.frozen:
            module.eval()

    def accumulating(self, *, step: bool) -> AbstractContextManager[Any]:
        """Around the forward and the backward pass of a batch: processes add up their gradients at a step alone."""
        return self.phase.fabric.no_backward_sync(self.model, enabled=not step)

    def backward(self, loss: Tensor, *, step: bool) -> None:
        """Adds to the gradients, and steps where the accumulated batches are complete.

        Args:
            loss: the batch's mean loss, times its share of the pictures of the accumulated batches.
        """
        self.phase.fabric.backward(loss)
        if step:
            self.update()
            self.schedule.step()
            if self.average:
                self.average.update_parameters(self.phase.model)

    def descend(self, loss: Tensor) -> None:
        """One step at the learning rates that the optimiser's groups have."""
        self.phase.fabric.backward(loss)
        self.update()

    def update(self) -> None:
        if self.options.clip_norm:
            self.phase.fabric.clip_gradients(
                self.model, self._wrapped, max_norm=self.options.clip_norm, error_if_nonfinite=False
            )
        self._wrapped.step()
        self._wrapped.zero_grad()

    def unite(self, world: World) -> None:
        """Makes every process hold the same running statistics, as it holds the same weights."""
        for module in {self.phase.model, self.ema_or_model}:
            world.average_buffers(module)

    def state(self) -> State:
        """A copy of the state of what is kept."""
        return {name: value.detach().clone() for name, value in self.ema_or_model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the network."""
        return {
            "model": self.phase.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "averaged": self.average.n_averaged if self.average else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` returned."""
        load_state(self.phase.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            load_state(self.average.module, state["average"])
            self.average.n_averaged.copy_(state["averaged"])


def make_average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """An exponential moving average of the weights; running statistics are copied.

    The first steps count more, as in TensorFlow's ExponentialMovingAverage with `num_updates`: a plain average of
    decay 0.999 would still hold a third of its random start after a thousand steps.
    """
    if decay is None:
        return None

    def update(averaged: Any, current: Any, count: Any) -> None:
        steps = float(count)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averaged, current, count)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=update)


def check_compiler() -> None:
    """Raises `TrainingError` where `torch.compile` has no compiler to work with."""
    try:
        torch.compile(torch.nn.ReLU())(torch.zeros(1))
    except Exception as error:
        raise TrainingError(
            f"torch.compile does not work here: {str(error).strip().splitlines()[0]}",
            "Install a C++ compiler (g++ or clang), or leave out --compile.",
            code="compiler-missing",
        ) from error
