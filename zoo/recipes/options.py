"""The options of a training as a type: for completion and type checkers. `zoo.recipes.recipe` explains each.

A test compares the two. Options that are written as text in recipes may be given as that text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, TypedDict, TypeVar

from zoo.recipes.recipe import Recipe, Strategy, TrainingPrecision
from zoo.recipes.values import RGB, Pair
from zoo.specs import Augmentation, Interpolation, ResizeMode


class TrainOptions(TypedDict, total=False):
    """The fields of `zoo.recipes.recipe.Recipe`, without backbone and dataset."""

    val: str | None
    test: str | None
    encoding: str
    strategy: Strategy | None
    freeze_until: str | None
    unfreeze_at: tuple[int, ...] | str | None
    head_epochs: int | None
    head_learning_rate: float | None
    weights: str
    epochs: int | None
    time_budget: float | str | None
    batch_size: int
    accumulate: int
    image_size: int | None
    resize: ResizeMode | None
    interpolation: Interpolation | None
    pixel_range: Pair | str | None
    mean: RGB | str | None
    std: RGB | str | None
    augment: Augmentation | None
    rotate: float | None
    translate: float | None
    zoom: Pair | str | None
    crop: Pair | str | None
    shear: float | None
    flip: Literal["none", "horizontal", "vertical", "both"] | None
    jitter: float | None
    hue: float | None
    grey: float | None
    trivial: bool | None
    erase: float | None
    mixup: float
    cutmix: float
    sampling: Literal["natural", "balanced"]
    class_weights: Literal["balanced"] | dict[str, float] | str | None
    views: int | None
    cache_budget: int | str
    disk_budget: int | str
    optimizer: Literal["adamw", "adam", "sgd"]
    learning_rate: float | None
    layer_decay: float | None
    momentum: float
    nesterov: bool
    weight_decay: float | None
    schedule: Literal["constant", "cosine", "onecycle", "step", "multistep", "plateau"]
    warmup_epochs: float | None
    step_epochs: int | None
    milestones: tuple[int, ...] | str | None
    gamma: float
    patience: int
    label_smoothing: float
    dropout: float
    clip_norm: float | None
    ema: float | None
    monitor: Literal["loss", "accuracy"]
    log_every: int | None
    early_stopping: int | None
    compile: bool
    precision: TrainingPrecision
    device: str
    devices: int | None
    nodes: int | None
    distributed: Literal["ddp"]
    checkpoint_minutes: float
    limit: int | None
    seed: int
    deterministic: bool
    data_root: str | None
    max_unreadable: float
    loggers: tuple[str, ...] | str
    plugins: tuple[str, ...]


F = TypeVar("F", bound=Callable[..., Any])


def spelled_out(function: F) -> F:
    """Lets `help` and completion show the options of a function that takes them as keywords."""
    own = inspect.signature(function)
    before = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    defaults, kinds = Recipe.defaults(), TrainOptions.__annotations__
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
        for name, kind in kinds.items()
    ]
    function.__signature__ = own.replace(parameters=[*before, *options])  # type: ignore[attr-defined]
    return function
