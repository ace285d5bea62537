"""Which stages of a network train when, and how fast: what the strategies come down to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from zoo.errors import UsageError
from zoo.runs.info import PhasePlan
from zoo.specs import Stage

HEAD_EPOCHS = 20
GRADUAL_EPOCHS = 2  # per stage
LAYER_DECAY = {"finetune": 0.8, "gradual": 0.8}


def default_learning_rate(optimizer: str, strategy: str) -> float:
    """The peak learning rate of a strategy's epochs."""
    gentle = strategy in ("finetune", "gradual")
    if optimizer == "sgd":
        return 5e-3 if gentle else 5e-2
    return 5e-4 if gentle else 1e-3


def default_head_rate(optimizer: str) -> float:
    """The learning rate while the head trains alone: it starts from zero, so what is gentle elsewhere is too slow."""
    return default_learning_rate(optimizer, "head")


def default_decay(strategy: str) -> float:
    """The factor on the learning rate from each stage to the one before it."""
    return LAYER_DECAY.get(strategy, 1.0)


def first_stage(freeze_until: str | None, backbone: str, stages: Sequence[Stage]) -> int:
    """The index of the stage `freeze_until`, 0 for None. Raises `UsageError` for an unknown stage of the backbone."""
    names = [stage.name for stage in stages]
    if freeze_until is None:
        return 0
    if freeze_until not in names:
        raise UsageError(
            f"{backbone} has no stage '{freeze_until}'.", f"Its stages are: {', '.join(names)}.", code="unknown-stage"
        )
    return names.index(freeze_until)


def plan_phases(
    strategy: str,
    epochs: int,
    learning_rate: float,
    *,
    stages: Sequence[Stage],
    first: int = 0,
    decay: float = 1.0,
    head_epochs: int = HEAD_EPOCHS,
    head_rate: float | None = None,
    unfreeze_at: Sequence[int] = (),
) -> tuple[PhasePlan, ...]:
    """The phases of a strategy.

    Args:
        epochs: those of the strategy, without the head's epochs that `finetune` begins with.
        stages: from stem to head.
        first: index of the first stage that ever trains.
        decay: factor on the learning rate from each stage to the one before it.
        head_epochs: in which `finetune` trains the head alone.
        head_rate: learning rate while the head trains alone before other stages do; None for `learning_rate`.
        unfreeze_at: epochs at which `gradual` trains one more stage; empty for evenly.
    """
    count = len(stages)
    last = count - 1

    def phase(name: str, begin: int, length: int) -> PhasePlan:
        return PhasePlan(
            name, begin, length, tuple(learning_rate * decay ** (last - index) for index in range(begin, count))
        )

    if strategy == "head" or first == last:
        return (phase("head", last, epochs),)
    if strategy == "full":
        return (phase("full", first, epochs),)
    rates = (learning_rate if head_rate is None else head_rate,)
    if strategy == "finetune":
        return (PhasePlan("head", last, head_epochs, rates), phase("finetune", first, epochs))
    lengths = _lengths(unfreeze_at, epochs, last - first + 1)
    begins = range(last, last - len(lengths), -1)
    return (
        PhasePlan("head", last, lengths[0], rates),
        *(phase(stages[begin].name, begin, length) for begin, length in zip(begins[1:], lengths[1:], strict=True)),
    )


def _lengths(unfreeze_at: Sequence[int], epochs: int, stages: int) -> list[int]:
    """The epochs of each phase of `gradual`."""
    if unfreeze_at:
        if len(unfreeze_at) >= stages:
            raise UsageError(
                f"There are {stages - 1} stages before the head to unfreeze, not {len(unfreeze_at)}.",
                f"Give --unfreeze-at at most {stages - 1} epochs.",
            )
        if unfreeze_at[0] == 1 or unfreeze_at[-1] > epochs:
            given = ",".join(map(str, unfreeze_at))
            raise UsageError(
                f"Stages cannot unfreeze at {given}: epoch 1 is the head's, and {epochs} is the last.",
                f"Give --unfreeze-at epochs from 2 to {epochs}, or more --epochs.",
            )
        return [behind - before for before, behind in pairwise([1, *unfreeze_at, epochs + 1])]
    if epochs < stages:
        raise UsageError(
            f"{stages} stages cannot unfreeze one by one in {epochs} epochs.",
            f"Give --epochs {stages} or more, or --freeze-until a later stage.",
        )
    whole, more = divmod(epochs, stages)
    return [whole + (index >= stages - more) for index in range(stages)]
