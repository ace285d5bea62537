"""What a training works with, put together from a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.data import Dataset, Split
from zoo.data.decoded_split import DecodedSplit, make_stores
from zoo.data.decoding import Budgets
from zoo.data.prepare import dataset_entry, find_dataset, load_from, registered_dataset, training_splits
from zoo.data.seen import median_size
from zoo.data.usable import ReadSplit, refusals
from zoo.errors import ZooError
from zoo.models.checked import build_network, check_answers
from zoo.models.pretrained import WeightsReport, load_weights
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.registry import Registered, registry
from zoo.runs.info import Plan, RunInfo
from zoo.runs.run import Run
from zoo.specs import BackboneSpec, DatasetSpec, Stage
from zoo.training.learner import LearningOptions
from zoo.training.loss import class_weights
from zoo.training.optim import OptimizerOptions
from zoo.training.plan import make_plan, moved_plan
from zoo.training.schedule import ScheduleOptions
from zoo.transforms.augment import Policy, make_policy

# torch's default. MobileNetV3's 0.01 and MNASNet's 0.0003 are for the hundred thousands of steps of ImageNet.
MIN_MOMENTUM = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A recipe with absolute paths, and what its names stand for.

    Attributes:
        origins: of backbone and dataset: their names, and the distribution or file that registers each.
    """

    recipe: Recipe
    backbone: Registered[BackboneSpec]
    data: DatasetSpec
    origins: Mapping[str, str] = field(default_factory=dict)


def resolve(recipe: Recipe) -> Resolved:
    """Looks up the names in a recipe. Raises `UsageError` for one that nobody registered."""
    recipe = _anchored(recipe)
    for path in recipe.plugins:
        registry().add_file(path)
    backbone, data = registry().backbone(recipe.backbone), find_dataset(recipe.place)
    origins = {f"backbone '{backbone.name}'": backbone.distribution}
    if entry := dataset_entry(recipe.dataset):
        origins[f"dataset '{entry.name}'"] = entry.distribution
    # A file that an earlier training of this process has added
    used = [file.path for origin in origins.values() if (file := registry().added_file(origin))]
    recipe = replace(recipe, plugins=tuple(dict.fromkeys([*recipe.plugins, *used])))
    return Resolved(recipe=recipe, backbone=backbone, data=data, origins=origins)


def _anchored(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths: its run works from any working directory."""
    places = {name: getattr(recipe, name) for name in ("val", "test", "data_root")}
    if registered_dataset(recipe.dataset) is None:
        places["dataset"] = recipe.dataset
    if recipe.weights not in ("auto", "pretrained", "none"):
        places["weights"] = recipe.weights
    absolute: dict[str, Any] = {
        name: str(Path(place).expanduser().absolute()) for name, place in places.items() if place
    }
    plugins = tuple(str(Path(file).expanduser().absolute()) for file in recipe.plugins)
    return replace(recipe, **absolute, plugins=plugins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A recipe with all that it names, loaded.

    Attributes:
        splits: the pictures to train on, and those that choose the checkpoint.
        trainable_pictures: how many there are to train on; more than in `splits` where the recipe limits them.
        median_size: width and height of the median training picture, where it is known.
        stages: of the network, from stem to head.
        policy: how training pictures vary, None for not at all.
        class_weights: of the K classes in the loss, None for equal ones.
        learning: optimiser, schedule and what else decides how weights change.
        origins: as in `Resolved`.
    """

    recipe: Recipe
    backbone: Registered[BackboneSpec]
    plan: Plan
    data: DatasetSpec
    dataset: Dataset
    splits: tuple[Split, Split]
    trainable_pictures: int
    median_size: tuple[int, int] | None
    weights: WeightsReport
    network: nn.Module
    stages: tuple[Stage, ...]
    policy: Policy | None
    class_weights: list[float] | None
    learning: LearningOptions
    origins: Mapping[str, str] = field(default_factory=dict)


def prepare(resolved: Resolved, reporter: Reporter, recorded: RunInfo | None = None) -> Setup:
    """Loads the dataset, builds the network with its weights, and makes the plan; decodes nothing yet.

    Args:
        recorded: of a resumed run. Its plan is kept; its checkpoint brings the weights.
    """
    recipe, backbone, data = resolved.recipe, resolved.backbone.spec, resolved.data
    dataset = load_from(data, recipe.data_root, recipe.pixel_range)
    for note in dataset.notes:
        reporter.warn(note)
    everything = training_splits(dataset, recipe.seed)
    splits = training_splits(dataset, recipe.seed, recipe.limit) if recipe.limit else everything
    torch.manual_seed(recipe.seed)
    network, stages = build_network(resolved.backbone, len(dataset.classes))
    _average_soon(network)
    weights = (
        WeightsReport(**asdict(recorded.weights))
        if recorded
        else _initial_weights(network, backbone, recipe, dataset.classes)
    )
    if weights.note:
        reporter.warn(weights.note)
    if weights.head:
        reporter.say(weights.head)
    plan = moved_plan(recorded.plan, recipe) if recorded else make_plan(recipe, backbone, data, weights, network)
    check_answers(resolved.backbone, network, len(dataset.classes), plan.preprocess.image_size)
    counts = {name: int((splits[0].labels == index).sum()) for index, name in enumerate(dataset.classes)}
    return Setup(
        recipe=recipe,
        backbone=resolved.backbone,
        plan=plan,
        data=data,
        dataset=dataset,
        splits=splits,
        trainable_pictures=len(everything[0]),
        median_size=median_size(splits[0].pictures),
        weights=weights,
        network=network,
        stages=stages,
        policy=make_policy(plan.augment, recipe.variation()) if plan.varied else None,
        class_weights=_class_weights(recipe, counts),
        learning=_learning(recipe, plan),
        origins=resolved.origins,
    )


def _class_weights(recipe: Recipe, counts: dict[str, int]) -> list[float] | None:
    if recipe.class_weights is None:
        return None
    return class_weights(recipe.class_weights, counts)


def _learning(recipe: Recipe, plan: Plan) -> LearningOptions:
    optimizer = OptimizerOptions(
        name=recipe.optimizer,
        weight_decay=plan.weight_decay,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
    )
    schedule = ScheduleOptions(
        name=recipe.schedule,
        warmup_epochs=recipe.warmup_epochs,
        step_epochs=recipe.step_epochs,
        milestones=recipe.milestones or (),
        gamma=recipe.gamma,
        patience=recipe.patience,
        maximise=recipe.monitor == "accuracy",
        cycle_momentum=optimizer.has_momentum,
    )
    return LearningOptions(
        optimizer=optimizer,
        schedule=schedule,
        accumulate=recipe.accumulate,
        clip_norm=recipe.clip_norm,
        ema=recipe.ema,
        compile=recipe.compile,
    )


def _initial_weights(
    network: nn.Module, backbone: BackboneSpec, recipe: Recipe, classes: Sequence[str]
) -> WeightsReport:
    """Loads the weights that a recipe names. Those of a run come with its preprocessing and its classes."""
    try:
        run = Run(Path(recipe.weights).expanduser().parent)  # run.json lies beside them
    except ZooError:
        return load_weights(network, backbone, recipe.weights, classes=classes)
    return load_weights(network, backbone, recipe.weights, run.preprocess, classes=classes, recorded=run.classes)


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
    memory = setup.recipe.cache_budget // processes
    stores = make_stores(
        setup.splits,
        setup.plan.preprocess,
        augmented=setup.plan.varied,
        budgets=Budgets(memory, setup.recipe.disk_budget),
        origin=f"{setup.data.name} ({setup.dataset.source})",
        reporter=reporter,
    )
    for sentence in stores[0].value_warnings:
        reporter.warn(sentence)
    for store in stores:
        for sentence in store.unreadable:
            reporter.warn(f"Left out: {sentence}")
    read = [
        ReadSplit(split.labels, store.labels, store.unreadable)
        for split, store in zip(setup.splits, stores, strict=True)
    ]
    named = dict(zip(("train", "val"), read, strict=True))
    cut = setup.dataset.val is None
    for _, error in refusals(named, setup.dataset.classes, setup.recipe.max_unreadable, cut=cut):
        raise error
    return stores[0], stores[1]
