"""What a training works with, put together from a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from zoo.data import Dataset, Split
from zoo.data.decoded_split import DecodedSplit, check_unreadable, make_stores
from zoo.data.decoding import Budgets
from zoo.data.prepare import load_dataset, training_splits
from zoo.errors import DataError, ZooError
from zoo.models.pretrained import WeightsReport, load_weights
from zoo.progress import Reporter
from zoo.recipes.parsing import budget_bytes, class_weights
from zoo.recipes.recipe import Recipe
from zoo.runs.run import Run
from zoo.specs import BackboneSpec, DatasetSpec, PreprocessSpec, Stage
from zoo.training.plan import Plan, make_plan, recorded_plan

# torch's default. MobileNetV3's 0.01 and MNASNet's 0.0003 are for the hundred thousands of steps of ImageNet.
MIN_MOMENTUM = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A recipe with all that it names, loaded.

    Attributes:
        splits: the pictures to train on, and those that choose the checkpoint.
        trainable_pictures: how many there are to train on; more than in `splits` where the recipe limits them.
        stages: of the network, from stem to head.
        class_weights: of the K classes in the loss, None for equal ones.
    """

    recipe: Recipe
    plan: Plan
    data: DatasetSpec
    dataset: Dataset
    splits: tuple[Split, Split]
    trainable_pictures: int
    weights: WeightsReport
    network: nn.Module
    stages: tuple[Stage, ...]
    class_weights: list[float] | None


def prepare(recipe: Recipe, backbone: BackboneSpec, reporter: Reporter, recorded: Run | None = None) -> Setup:
    """Loads the dataset, builds the network with its weights, and makes the plan; decodes nothing yet.

    Args:
        recorded: the run that goes on from a checkpoint, which brings the weights: its plan is kept.
    """
    data, dataset = load_dataset(recipe)
    for note in dataset.notes:
        reporter.warn(note)
    everything = training_splits(dataset, recipe.seed)
    splits = training_splits(dataset, recipe.seed, recipe.limit) if recipe.limit else everything
    torch.manual_seed(recipe.seed)
    network = backbone.build(len(dataset.classes))
    _average_soon(network)
    weights = (
        WeightsReport(**recorded.info["weights"])
        if recorded
        else load_weights(network, backbone, recipe.weights, _trained_with(recipe.weights))
    )
    if weights.note:
        reporter.warn(weights.note)
    plan = recorded_plan(recorded, recipe) if recorded else make_plan(recipe, backbone, data, weights, network)
    counts = {name: int((splits[0].labels == index).sum()) for index, name in enumerate(dataset.classes)}
    return Setup(
        recipe=recipe,
        plan=plan,
        data=data,
        dataset=dataset,
        splits=splits,
        trainable_pictures=len(everything[0]),
        weights=weights,
        network=network,
        stages=tuple(backbone.stages(network)),
        class_weights=class_weights(recipe.class_weights, counts),
    )


def _trained_with(weights: str) -> PreprocessSpec | None:
    """The preprocessing that weights of a run were trained with: run.json lies beside them."""
    try:
        return Run(Path(weights).expanduser().parent).preprocess
    except ZooError:
        return None


def _average_soon(network: nn.Module) -> None:
    """Lets BatchNorm's running statistics follow a training of hundreds of steps."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
            module.momentum = max(module.momentum, MIN_MOMENTUM)


def decode_splits(setup: Setup, reporter: Reporter, *, processes: int = 1) -> tuple[DecodedSplit, DecodedSplit]:
    """Decodes both splits once. Raises `DataError` where too many pictures, or all of a class, are unreadable.

    Args:
        processes: that share this machine's memory.
    """
    memory = budget_bytes(setup.recipe, "cache_budget") // processes
    stores = make_stores(
        setup.splits,
        setup.plan.preprocess,
        augmented=setup.plan.varied,
        budgets=Budgets(memory, budget_bytes(setup.recipe, "disk_budget")),
        source=f"{setup.data.name} ({setup.dataset.source})",
        reporter=reporter,
    )
    for split, store in zip(setup.splits, stores, strict=True):
        for sentence in store.unreadable:
            reporter.warn(f"Left out: {sentence}")
        check_unreadable(store.unreadable, len(split), setup.recipe.max_unreadable)
        for label in set(split.labels.tolist()) - set(store.labels.tolist()):
            raise DataError(
                f"No picture of the class '{setup.dataset.classes[label]}' can be read.", "Mend or remove that class."
            )
    if len(stores[0]) < 2:  # noqa: PLR2004
        raise DataError("There are fewer than two pictures to train on.", "Give more pictures.")
    return stores[0], stores[1]
