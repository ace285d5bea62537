"""What a training says before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoo.data.prepare import final_split

if TYPE_CHECKING:
    from torch import nn

    from zoo.data import Dataset, Split
    from zoo.plan import Plan
    from zoo.recipe import Recipe
    from zoo.specs import DatasetSpec
    from zoo.weights import WeightsReport

SHOWN_CLASSES = 8


def summary(
    recipe: Recipe,
    plan: Plan,
    *,
    weights: WeightsReport,
    data: DatasetSpec,
    dataset: Dataset,
    splits: Sequence[Split],
    network: nn.Module,
) -> dict[str, str]:
    """Named facts: what was chosen, and why where the user left it open."""

    def because(choice: str) -> str:
        return f" ({plan.reasons[choice]})" if choice in plan.reasons else ""

    final_name, final = final_split(dataset, recipe.seed)
    validation = "the dataset's own" if dataset.val is not None else "a tenth of the training pictures"
    tested = f"{len(final):,} test" if final_name == "test" else "no test split: final figures on validation"
    total = f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters"
    trains = {"head": f"the head, of {total}", "finetune": f"first the head, then all {total}", "full": f"all {total}"}
    more = ", …" if len(dataset.classes) > SHOWN_CLASSES else ""
    return {
        "backbone": f"{recipe.backbone}, weights: {weights.name}",
        "data": f"{data.name}: {dataset.source}",
        "classes": f"{len(dataset.classes)}: {', '.join(dataset.classes[:SHOWN_CLASSES])}{more}",
        "pictures": f"{len(splits[0]):,} training, {len(splits[1]):,} validation ({validation}), {tested}",
        "image size": f"{plan.preprocess.image_size} pixels, {plan.preprocess.resize}{because('image size')}",
        "strategy": f"{plan.strategy}{because('strategy')}",
        "trains": trains[plan.strategy],
        "epochs": f"{plan.epochs}, {recipe.batch_size} pictures a step, augmentation: {plan.augment}",
        "optimizer": f"{recipe.optimizer}, learning rate {plan.learning_rate:g}, {recipe.schedule}",
        "device": f"{plan.device}{because('device')}",
        "precision": f"{plan.precision}{because('precision')}",
    }
