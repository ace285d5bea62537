"""Advice from a training's own figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from zoo.data.seen import crop_advice
from zoo.errors import TrainingError, is_out_of_memory
from zoo.registry import backbones_with_weights
from zoo.registry.given import THIS_PROCESS
from zoo.training.duration import advice, expected_seconds, stage_seconds

if TYPE_CHECKING:
    from zoo.specs import EpochMetrics
    from zoo.training.setup import Setup

GAP = 0.1  # of the accuracy, between training and validation
PATIENCE = 3  # epochs after the best one, in which the validation loss did not fall
PICTURES = 50  # of validation: of fewer, the accuracy says too little
ERRORS = 3  # standard errors of the validation accuracy that a gap must exceed


def advice_before(setup: Setup, processes: int = 1) -> list[str]:
    """What to know before the pictures are decoded.

    Args:
        processes: that share the work.
    """
    cropped = crop_advice(setup.plan.preprocess, setup.median_size)
    found = (*_only_here(setup), cropped, _frozen_random(setup), _too_long(setup, processes))
    return [sentence for sentence in found if sentence]


def _only_here(setup: Setup) -> list[str]:
    """For names that no other process finds: what will not work later, and how to have it."""
    return [
        f"Only this process knows the {name}, so another process cannot resume, evaluate or export this run. "
        "To make that possible, put its code into a Python file and train with --plugin FILE (docs/plugins.md)."
        for name, origin in setup.origins.items()
        if origin == THIS_PROCESS
    ]


def advice_after(setup: Setup, rows: Sequence[EpochMetrics], best: int) -> list[str]:
    """What the finished epochs say; `best` is the one that is kept, from 1."""
    sentence = overfitting(rows, best, len(setup.splits[1]), _helpers(setup))
    return [sentence] if sentence else []


@contextmanager
def within_memory(setup: Setup, processes: int = 1) -> Iterator[None]:
    """Turns a failed allocation into a `TrainingError` that names what took the memory, and what would take less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error)):
            raise
        raise _too_little_memory(setup, processes) from None


def _too_little_memory(setup: Setup, processes: int) -> TrainingError:
    recipe, size = setup.recipe, setup.plan.preprocess.image_size
    half, ways = recipe.batch_size // 2, []
    if half >= 2 * processes:
        ways.append(f"--batch-size {half} --accumulate {2 * recipe.accumulate}, with the same result")
    if _smaller(setup):
        ways.append(f"an --image-size below {size}")
    where = "The GPU" if setup.plan.device != "cpu" else "This machine"
    return TrainingError(
        f"{where} has too little memory for batches of {recipe.batch_size} pictures of {size} pixels.",
        f"Give {', or '.join([*ways, 'a smaller --cache-budget'])}.",
        code="out-of-memory",
    )


def _smaller(setup: Setup) -> int | None:
    """About half of the pictures' side, if the backbone takes that."""
    size, spec = setup.plan.preprocess.image_size, setup.backbone.spec
    smaller = 32 * max(1, round(size / 64))
    return smaller if not spec.fixed_image_size and spec.min_image_size <= smaller < size else None


def _too_long(setup: Setup, processes: int) -> str:
    """What shortens a training that will take long. Empty if it is short, or on a GPU, whose speed is unknown."""
    plan, recipe = setup.plan, setup.recipe
    if plan.device != "cpu":
        return ""
    size, smaller = plan.preprocess.image_size, _smaller(setup)
    stages = stage_seconds(setup.network, setup.stages, torch.zeros(1, 3, size, size))
    pictures = (len(setup.splits[0]), len(setup.splits[1]))
    stored = bool(recipe.cache_budget) and not (recipe.mixup or recipe.cutmix)
    taken = expected_seconds(plan.phases, stages, pictures, views=plan.views, stored=stored) / processes
    seconds = min(taken, recipe.time_budget or taken)
    ways = []
    if plan.strategy != "head" and setup.weights.pretrained:
        ways.append(("--strategy head", sum(stages) * sum(pictures) / processes))
    if smaller:
        ways.append((f"--image-size {smaller}", taken * (smaller / size) ** 2))
    return advice(seconds, ways, "--limit" if plan.strategy == "head" and stored else "fewer --epochs")


def _frozen_random(setup: Setup) -> str:
    """For a network whose random stages never train: what to expect, and what to take instead. Else empty."""
    first = min(phase.first for phase in setup.plan.phases)
    if setup.weights.pretrained:
        return ""
    if not first:
        return _gentle_random(setup)
    frozen = setup.stages[first - 1].name
    instead = _installed(setup)
    return (
        f"The stages up to {frozen} stay frozen with random weights, so the accuracy stays far below that of "
        f"pretrained weights. {instead}To train the whole network: --strategy full, no --freeze-until."
    )


def _gentle_random(setup: Setup) -> str:
    """For a network of random weights that is trained as gently as a pretrained one. Else empty."""
    if setup.plan.strategy not in ("finetune", "gradual"):
        return ""
    return (
        f"The network starts from random weights; the strategy {setup.plan.strategy} trains them too slowly. "
        f"{_installed(setup)}To train this network from the start: --strategy full."
    )


def _installed(setup: Setup) -> str:
    others = [name for name in backbones_with_weights() if name != setup.recipe.backbone]
    return f"Backbones with installed weights: {', '.join(others)}. " if others else ""


def overfitting(rows: Sequence[EpochMetrics], best: int, validation: int, options: Mapping[str, bool]) -> str:
    """Names what helps a network that knows its training pictures far better than others. Else empty.

    A gap alone is not enough: a network that still learns has one, too. The best epoch must be at least `PATIENCE`
    epochs ago, and there must be at least `PICTURES` validation pictures.

    Args:
        rows: of the finished epochs.
        best: the epoch that is kept, from 1.
        validation: the number of validation pictures: of few pictures, a large gap may be chance.
        options: what may help, and whether it is in use already.
    """
    if not best or len(rows) - best < PATIENCE or validation < PICTURES:
        return ""
    row = rows[-1]
    train, val = float(row["train_top1"]), float(row["val_top1"])
    error = (max(val * (1 - val), 1e-9) / max(validation, 1)) ** 0.5
    if train - val < max(GAP, ERRORS * error):
        return ""
    ways = [name for name, used in options.items() if not used]
    helps = f"What may help: {', '.join([*ways, 'more pictures'])}."
    return (
        f"Overfitting: in epoch {len(rows)}, {train:.2%} of the training pictures are right and {val:.2%} of the "
        f"validation pictures. {helps}"
    )


def _helpers(setup: Setup) -> dict[str, bool]:
    """The options that work against overfitting, and whether a training uses them."""
    recipe, plan = setup.recipe, setup.plan
    policy = "light" if setup.data.augment == "none" else setup.data.augment
    return {
        f"--augment {policy}": plan.varied,
        "--dropout 0.2": bool(recipe.dropout),
        f"--early-stopping {PATIENCE}": recipe.early_stopping is not None,
    }
