"""How long a training will take: from one forward pass before it begins, and from its first steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from zoo.progress import Reporter, in_words
from zoo.runs.info import PhasePlan
from zoo.specs import Stage

TIMED_STEPS = 10
TIMED_PICTURES = 4
LONG_SECONDS = 20 * 60
BACKWARD = 3  # times a forward pass: what a training step costs in all


class ETA:
    """Says once, after the first steps of the first epoch, how long a number of steps will take."""

    def __init__(self, total_steps: int, reporter: Reporter) -> None:
        self.total, self.reporter = total_steps, reporter
        self.times: list[float] = []

    def tick(self) -> None:
        """After each step."""
        if len(self.times) > TIMED_STEPS:
            return
        self.times.append(time.perf_counter())
        if len(self.times) > TIMED_STEPS:
            seconds = float(np.median(np.diff(self.times))) * self.total
            self.reporter.say(f"Expected training time: about {in_words(seconds)}.")


def stage_seconds(network: nn.Module, stages: Sequence[Stage], example: Tensor) -> list[float]:
    """How long each stage computes for one picture without gradients, on a CPU; the second of two passes counts.

    Args:
        example: any picture as the network takes it, float32 `[1, 3, S, S]`.
    """
    ends = [0.0] * len(stages)
    modules, handles = dict(network.named_modules()), []

    def note(number: int, *_: object) -> None:
        ends[number] = time.perf_counter()

    for number, stage in enumerate(stages):
        own = [modules[member] for member in stage.members if member in modules]
        handles += [module.register_forward_hook(partial(note, number)) for module in own]
    batch = example.expand(TIMED_PICTURES, *example.shape[1:]).contiguous(memory_format=torch.channels_last)
    training = network.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # nothing random may be taken from the training
        network.eval()
        network(batch)
        before = time.perf_counter()
        network(batch)
    network.train(training)
    for handle in handles:
        handle.remove()
    found = []
    for end in ends:  # a stage without modules of its own is part of the next one
        found.append(max(0.0, end - before) / TIMED_PICTURES)
        before = max(before, end)
    return found


def expected_seconds(
    phases: Sequence[PhasePlan], stages: Sequence[float], pictures: tuple[int, int], *, views: int, stored: bool
) -> float:
    """A rough estimate, good to a factor of two.

    Args:
        stages: seconds of each stage for one picture.
        pictures: of the training and the validation split.
        views: of each training picture whose features are stored.
        stored: whether the features of frozen stages are stored; else they are computed in each epoch.
    """
    train, val = pictures
    total = 0.0
    for phase in phases:
        frozen, learning = sum(stages[: phase.first]), sum(stages[phase.first :])
        passes = min(views, phase.epochs) * train + val if stored else phase.epochs * (train + val)
        total += frozen * passes + learning * phase.epochs * (BACKWARD * train + val)
    return total


def advice(seconds: float, ways: Sequence[tuple[str, float]], last: str) -> str:
    """What shortens a training that takes long; empty where it does not take long.

    Args:
        ways: options, and the seconds that the training would then take.
        last: what shortens it too, by as much as one likes.
    """
    if seconds < LONG_SECONDS or not math.isfinite(seconds):
        return ""
    shorter = [f"{option} (about {in_words(taken)})" for option, taken in ways if taken < seconds]
    words = ", ".join([*shorter, last])
    return f"This training takes about {in_words(seconds)} on this machine. Shorter: {words}."
