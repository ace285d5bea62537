"""The learning-rate range test: a sweep from far too small to far too large, and the rate in it to begin with.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", https://arxiv.org/abs/1506.01186.
"""

from __future__ import annotations

import csv
import itertools
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from zoo.errors import TrainingError
from zoo.files import write_atomically
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.report.plots import plot_sweep
from zoo.training.advice import within_memory
from zoo.training.batches import chunks
from zoo.training.distributed import World
from zoo.training.history import History
from zoo.training.learner import TrainState, check_compiler
from zoo.training.listeners import Console
from zoo.training.loop import Trainer
from zoo.training.manners import put_back
from zoo.training.phase import Phase
from zoo.training.setup import Setup, decode_splits, prepare, resolve
from zoo.training.time_budget import TimeBudget

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 100
SMOOTHING = 0.9  # of the loss, per step
DIVERGED = 4.0  # times the lowest smoothed loss
SETTLING = 10  # steps whose average is still noise
NEAR = 2  # the factor by which sweeps with other seeds differ: 0.00076, 0.0013 and 0.00076 for digits
SETTLED = 25  # steps whose rates, to 6e-6, change nothing yet
LEARNED = 0.25  # of the loss by chance: below it, there is too little left to lower
FALL = 0.1  # of the loss that a sweep must take off
ERRORS = 4  # standard errors of the smoothed loss that the fall must exceed


@dataclass(frozen=True, slots=True)
class Sweep:
    """One loss per learning rate.

    Attributes:
        rates: of the head, rising, float64 `[n]`.
        losses: smoothed, float64 `[n]`.
        suggestion: the rate of the steepest descent; None where the curve has none to speak of.
        present: the rate that the recipe has without a suggestion.
        reason: why a suggestion is missing; empty where there is one.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float | None
    present: float
    reason: str = ""


def lr_find(recipe: Recipe, reporter: Reporter) -> Sweep:
    """Sweeps the learning rate of the last step of the recipe's strategy; what comes before it trains as it would.

    Raises `TrainingError` where the loss is infinite or undefined.
    """
    resolved = resolve(recipe)
    if recipe.compile:
        check_compiler()
    with put_back(deterministic=recipe.deterministic):
        setup = prepare(resolved, reporter)
        with within_memory(setup):
            rates, losses = _sweep(setup, reporter)
    if not losses:
        raise TrainingError(
            "The loss is infinite or undefined before the first step.",
            "Check --mean, --std and the weights, or give --precision fp32.",
            code="loss-diverged",
        )
    smoothed, present = smooth(losses), setup.plan.learning_rate
    reason = flat(losses, smoothed, math.log(len(setup.dataset.classes)))
    suggestion = None if reason else suggest(rates, smoothed)
    if suggestion and is_near(suggestion, present):
        suggestion, reason = None, f"the loss falls fastest at {suggestion:.2g}, close to the present rate"
    return Sweep(rates, smoothed, suggestion, present, reason)


def _sweep(setup: Setup, reporter: Reporter) -> tuple[np.ndarray, list[float]]:
    """Trains what comes before the last phase, then one step at each rate until the loss explodes."""
    recipe = setup.recipe
    with tempfile.TemporaryDirectory() as folder:
        history, world = History(Path(folder), recipe.monitor, writes=False), World(setup.plan.device)
        console = Console(reporter, history.monitored, recipe.log_every, table=False)
        stores, budget = decode_splits(setup, reporter), TimeBudget(None, world)
        trainer = Trainer(setup, stores, history, world, budget, reporter=reporter, listeners=[console])
        trainer.fit(setup.plan.phases[:-1])
    with trainer.ready(setup.plan.phases[-1]) as phase, reporter.bar("Learning rates", STEPS) as advance:
        train_state = TrainState(setup.learning, phase, trainer.batches_per_epoch())
        rates = np.geomspace(LOWEST, HIGHEST, STEPS)
        losses: list[float] = []
        for rate, loss in zip(rates, _losses(trainer, train_state, phase, rates), strict=False):
            if not math.isfinite(loss):
                break
            losses.append(loss)
            advance(1)
            smoothed = smooth(losses)
            if smoothed[-1] > DIVERGED * smoothed.min() and rate > rates[SETTLING]:
                break
    return rates[: len(losses)], losses


def _losses(trainer: Trainer, train_state: TrainState, phase: Phase, rates: np.ndarray) -> Iterator[float]:
    """The loss at each rate, before the step that is taken with it. Groups keep their ratio to the head's rate."""
    groups = train_state.optimizer.param_groups
    peaks = [group["initial_lr"] for group in groups]
    ratios = [peak / peaks[-1] for peak in peaks]
    share = 1 / train_state.options.accumulate
    batches = _batches(trainer)
    train_state.train()
    for rate in rates:
        for group, ratio in zip(groups, ratios, strict=True):
            group["lr"] = rate * ratio
        before = 0.0
        for _ in range(train_state.options.accumulate - 1):
            part = share * trainer.batch_loss(phase, train_state, *next(batches))[0]
            before += float(part.detach())
            phase.fabric.backward(part)
        last = share * trainer.batch_loss(phase, train_state, *next(batches))[0]
        yield before + float(last.detach())
        train_state.descend(last)


def _batches(trainer: Trainer) -> Iterator[tuple[Tensor, int]]:
    for epoch in itertools.count(1):
        batches = chunks(trainer.drawn(), trainer.recipe.batch_size)
        yield from ((indices, epoch) for indices in itertools.islice(batches, trainer.batches_per_epoch()))


def smooth(losses: list[float]) -> np.ndarray:
    """The exponential average with the bias of its start taken out, float64 `[n]`."""
    average, smoothed = 0.0, np.empty(len(losses))
    for index, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed[index] = average / (1 - SMOOTHING ** (index + 1))
    return smoothed


def flat(losses: Sequence[float], smoothed: np.ndarray, chance: float) -> str:
    """Why a curve says nothing about the learning rate; empty where it does.

    Args:
        losses: as they were measured.
        smoothed: the same, float64 `[n]`.
        chance: the loss of an answer by chance.
    """
    lowest = _lowest(smoothed)
    if lowest < SETTLING + 2:
        return "no rate lowered the loss"
    before = np.asarray(losses[:SETTLED])
    level, noise = before.mean(), before.std() * ((1 - SMOOTHING) / (1 + SMOOTHING)) ** 0.5
    if level < LEARNED * chance:
        return f"the loss is low before the sweep begins ({level:.2g}), so its changes are mostly chance"
    if level - smoothed[lowest] < max(FALL * level, ERRORS * noise):
        return "the loss falls by no more than its noise"
    return ""


def is_near(suggestion: float, present: float) -> bool:
    """Whether two rates are as close as those of two sweeps that differ in their seed alone."""
    return present / NEAR <= suggestion <= present * NEAR


def _lowest(losses: np.ndarray) -> int:
    return int(losses[SETTLING:].argmin()) + SETTLING if len(losses) > SETTLING else 0


def suggest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at which the loss falls fastest over the logarithm of the rate, in front of its lowest point."""
    lowest = _lowest(losses)
    slopes = np.gradient(losses[SETTLING : lowest + 1], np.log(rates[SETTLING : lowest + 1]))
    return float(rates[SETTLING + slopes.argmin()])


def write_sweep(sweep: Sweep, folder: Path) -> tuple[Path, Path]:
    """Writes lr-find.png and lr-find.csv into a folder that exists."""
    plot, table = folder / "lr-find.png", folder / "lr-find.csv"
    write_atomically(plot, lambda path: plot_sweep(sweep.rates, sweep.losses, sweep.suggestion, sweep.present, path))
    write_atomically(table, lambda path: _write_rows(sweep, path))
    return plot, table


def _write_rows(sweep: Sweep, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("learning_rate", "loss"))
        writer.writerows(zip(sweep.rates.tolist(), sweep.losses.tolist(), strict=True))
