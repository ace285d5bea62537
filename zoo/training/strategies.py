"""Which stages of a network train when, and how fast: what the strategies come down to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from zoo.errors import UsageError
from zoo.recipes.parsing import epochs_of
from zoo.recipes.recipe import Recipe
from zoo.specs import BackboneSpec, Stage

HEAD_EPOCHS = 20
GRADUAL_EPOCHS = 2  # per stage
LAYER_DECAY = {"finetune": 0.8, "gradual": 0.8}


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A stretch of training during which the same stages train.

    Attributes:
        name: what metrics call it.
        first: index of the first stage that trains; those before it are frozen.
        epochs: its length.
        learning_rates: the peak for each stage from `first` on, stem to head.
    """

    name: str
    first: int
    epochs: int
    learning_rates: tuple[float, ...]


def default_learning_rate(optimizer: str, strategy: str) -> float:
    """The peak learning rate of a strategy's epochs."""
    gentle = strategy in ("finetune", "gradual")
    if optimizer == "sgd":
        return 5e-3 if gentle else 5e-2
    return 5e-4 if gentle else 1e-3


def first_stage(recipe: Recipe, backbone: BackboneSpec, stages: Sequence[Stage]) -> int:
    """The index of `recipe.freeze_until`, 0 where nothing stays frozen. Raises `UsageError` for an unknown stage."""
    names = [stage.name for stage in stages]
    if recipe.freeze_until is None:
        return 0
    if recipe.freeze_until not in names:
        raise UsageError(
            f"{backbone.name} has no stage '{recipe.freeze_until}'.", f"Its stages are: {', '.join(names)}."
        )
    return names.index(recipe.freeze_until)


def plan_phases(
    recipe: Recipe, strategy: str, epochs: int, learning_rate: float, *, first: int, stages: Sequence[Stage]
) -> tuple[PhasePlan, ...]:
    """The phases of a strategy.

    Args:
        epochs: those of the strategy, without the head's epochs that `finetune` begins with.
        first: index of the first stage that ever trains.
        stages: from stem to head.
    """
    count = len(stages)
    decay = LAYER_DECAY.get(strategy, 1.0) if recipe.layer_decay is None else recipe.layer_decay
    last = count - 1

    def phase(name: str, begin: int, length: int) -> PhasePlan:
        return PhasePlan(
            name, begin, length, tuple(learning_rate * decay ** (last - index) for index in range(begin, count))
        )

    if strategy == "head" or first == last:
        return (phase("head", last, epochs),)
    if strategy == "full":
        return (phase("full", first, epochs),)
    # A head starts from zero: what is gentle for pretrained layers is too slow for it.
    head_rate = recipe.head_learning_rate or default_learning_rate(recipe.optimizer, "head")
    if strategy == "finetune":
        return (
            PhasePlan("head", last, recipe.head_epochs or HEAD_EPOCHS, (head_rate,)),
            phase("finetune", first, epochs),
        )
    head_rate = recipe.head_learning_rate or recipe.learning_rate or head_rate
    lengths = _lengths(recipe, epochs, last - first + 1)
    begins = range(last, last - len(lengths), -1)
    head = PhasePlan("head", last, lengths[0], (head_rate,))
    return (
        head,
        *(phase(stages[begin].name, begin, length) for begin, length in zip(begins[1:], lengths[1:], strict=True)),
    )


def _lengths(recipe: Recipe, epochs: int, stages: int) -> list[int]:
    """The epochs of each phase of `gradual`."""
    if recipe.unfreeze_at:
        at = epochs_of("unfreeze_at", recipe.unfreeze_at)
        if len(at) >= stages:
            raise UsageError(
                f"There are {stages - 1} stages before the head to unfreeze, not {len(at)}.",
                f"Give --unfreeze-at at most {stages - 1} epochs.",
            )
        if at[0] == 1 or at[-1] > epochs:
            raise UsageError(
                f"Stages cannot unfreeze at {recipe.unfreeze_at}: epoch 1 is the head's, and {epochs} is the last.",
                f"Give --unfreeze-at epochs from 2 to {epochs}, or more --epochs.",
            )
        return [behind - before for before, behind in pairwise([1, *at, epochs + 1])]
    if epochs < stages:
        raise UsageError(
            f"{stages} stages cannot unfreeze one by one in {epochs} epochs.",
            f"Give --epochs {stages} or more, or --freeze-until a later stage.",
        )
    whole, more = divmod(epochs, stages)
    return [whole + (index >= stages - more) for index in range(stages)]
