"""What a training's own figures say to whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from zoo.errors import TrainingError
from zoo.registry import backbones_with_weights
from zoo.training.duration import advice, expected_seconds, forward_seconds

if TYPE_CHECKING:
    from zoo.specs import EpochMetrics
    from zoo.training.setup import Setup

GAP = 0.1  # of the accuracy, between training and validation
ERRORS = 3  # standard errors of the validation accuracy that a gap must exceed


def advice_before(setup: Setup) -> list[str]:
    """What to know before the pictures are decoded."""
    return [sentence for sentence in (_frozen_random(setup), _too_long(setup)) if sentence]


def advice_after(setup: Setup, rows: Sequence[EpochMetrics], best: int) -> list[str]:
    """What the finished epochs say; `best` is the one that is kept, from 1."""
    sentence = overfitting(rows, best, len(setup.splits[1]), _helpers(setup))
    return [sentence] if sentence else []


def too_little_memory(setup: Setup) -> TrainingError:
    """Names what took the memory, and what would take less."""
    batch, size = setup.recipe.batch_size, setup.plan.preprocess.image_size
    smaller = f"--batch-size {batch // 2}" + (f" --accumulate {2 * setup.recipe.accumulate}" if batch > 2 else "")  # noqa: PLR2004
    where = "The GPU" if setup.plan.device != "cpu" else "This machine"
    return TrainingError(
        f"{where} has too little memory for batches of {batch} pictures of {size} pixels.",
        f"Give {smaller}, which trains alike, or an --image-size below {size}.",
    )


def _too_long(setup: Setup) -> str:
    """What shortens a training that will take long; empty where it will not, or on a GPU, which nobody can tell."""
    plan, size = setup.plan, setup.plan.preprocess.image_size
    if plan.device != "cpu":
        return ""
    forward = forward_seconds(setup.network, torch.zeros(1, 3, size, size))
    pictures = (len(setup.splits[0]), len(setup.splits[1]))
    seconds = expected_seconds(plan.phases, len(setup.stages), forward, pictures, plan.views)
    return advice(seconds, plan.strategy, size, forward * sum(pictures))


def _frozen_random(setup: Setup) -> str:
    """For a network whose random stages never train: what to expect, and what to take instead. Else empty."""
    first = min(phase.first for phase in setup.plan.phases)
    if setup.weights.pretrained or not first:
        return ""
    frozen = setup.stages[first - 1].name
    others = [name for name in backbones_with_weights() if name != setup.recipe.backbone]
    instead = f"With weights that are installed: {', '.join(others)}. " if others else ""
    return (
        f"The stages up to {frozen} stay frozen with random weights: they see little, and the accuracy stays far "
        f"below that of pretrained weights. {instead}To train all of this network: --strategy full, no --freeze-until."
    )


def overfitting(rows: Sequence[EpochMetrics], best: int, validation: int, options: Mapping[str, bool]) -> str:
    """Names what helps a network that knows its training pictures far better than others. Else empty.

    Args:
        rows: of the finished epochs.
        best: the epoch that is kept, from 1.
        validation: the number of validation pictures: of few pictures, a large gap may be chance.
        options: what may help, and whether it is in use already.
    """
    if not rows or not best:
        return ""
    row = rows[best - 1]
    train, val = float(row["train_top1"]), float(row["val_top1"])
    error = (max(val * (1 - val), 1e-9) / max(validation, 1)) ** 0.5
    if train - val < max(GAP, ERRORS * error):
        return ""
    ways = [name for name, used in options.items() if not used]
    helps = f"What may help: {', '.join([*ways, 'more pictures'])}."
    return (
        f"Overfitting: in epoch {best}, {train:.0%} of the training pictures are right and {val:.0%} of the "
        f"validation pictures. {helps}"
    )


def _helpers(setup: Setup) -> dict[str, bool]:
    """The options that work against overfitting, and whether a training uses them."""
    recipe, plan = setup.recipe, setup.plan
    policy = "light" if setup.data.augment == "none" else setup.data.augment
    return {
        f"--augment {policy}": plan.varied,
        "--dropout 0.2": bool(recipe.dropout),
        "--early-stopping 3": recipe.early_stopping is not None,
    }
