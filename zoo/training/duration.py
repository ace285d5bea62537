"""How long a training will take: from one forward pass before it begins, and from its first steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from zoo.progress import Bar, Reporter
from zoo.training.strategies import PhasePlan

TIMED_STEPS = 10
TIMED_PICTURES = 4
LONG_SECONDS = 20 * 60
BACKWARD = 3  # times a forward pass: what a training step costs in all


class ETA:
    """Says once, after the first steps of the first epoch, how long a number of steps will take."""

    def __init__(self, total_steps: int, reporter: Reporter) -> None:
        self.total, self.reporter = total_steps, reporter
        self.times: list[float] = []

    def before(self, bar: Bar) -> Callable[[int, Callable[[], str] | None], None]:
        """Counts the steps of a progress bar."""

        def tick(steps: int, note: Callable[[], str] | None = None) -> None:
            self._tick()
            bar(steps, note)

        return tick

    def _tick(self) -> None:
        if len(self.times) > TIMED_STEPS:
            return
        self.times.append(time.perf_counter())
        if len(self.times) > TIMED_STEPS:
            seconds = float(np.median(np.diff(self.times))) * self.total
            self.reporter.say(f"Expected training time: about {in_words(seconds)}.")


def in_words(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004


def forward_seconds(network: nn.Module, example: Tensor) -> float:
    """How long the network computes for one picture without gradients, on a CPU; the second of two passes counts.

    Args:
        example: any picture as the network takes it, float32 `[1, 3, S, S]`.
    """
    batch = example.expand(TIMED_PICTURES, *example.shape[1:]).contiguous(memory_format=torch.channels_last)
    training = network.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # nothing random may be taken from the training
        network.eval()
        network(batch)
        begun = time.perf_counter()
        network(batch)
        taken = time.perf_counter() - begun
    network.train(training)
    return taken / TIMED_PICTURES


def expected_seconds(
    phases: Sequence[PhasePlan], stages: int, forward: float, pictures: tuple[int, int], views: int
) -> float:
    """A rough estimate, good to a factor of two.

    Args:
        stages: of the network. A phase of the last one trains on stored features, as good as free.
        forward: seconds for one picture.
        pictures: of the training and the validation split.
        views: of each training picture whose features are stored.
    """
    train, val = pictures
    total = 0.0
    for phase in phases:
        if phase.first == stages - 1:
            total += forward * (min(views, phase.epochs) * train + val)
        else:
            total += forward * phase.epochs * (BACKWARD * train + val)
    return total


def advice(seconds: float, strategy: str, size: int, head_seconds: float) -> str:
    """What shortens a training that takes long, with what it would then take; empty where it does not take long."""
    if seconds < LONG_SECONDS or not math.isfinite(seconds):
        return ""
    smaller = max(32, 32 * round(size / 64))
    ways = [f"--strategy head (about {in_words(head_seconds)})"] if strategy != "head" else []
    if smaller < size:
        ways.append(f"--image-size {smaller} (about {in_words(seconds * (smaller / size) ** 2)})")
    shorter = ", ".join([*ways, "fewer --epochs"])
    return f"This training takes about {in_words(seconds)} on this machine. Shorter: {shorter}."
