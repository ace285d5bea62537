"""What a training will do, decided from the recipe, the data, the weights and the machine; and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.data.seen import PHOTO_CROP, SMALL_PIXELS
from zoo.errors import UsageError
from zoo.models.image_size import check_size
from zoo.recipes.parsing import without_effect
from zoo.recipes.recipe import Recipe
from zoo.recipes.values import flag
from zoo.runs.info import PhasePlan, Plan
from zoo.specs import BackboneSpec, DatasetSpec, Interpolation, PreprocessSpec, ResizeMode, Stage
from zoo.training.devices import choose_machine
from zoo.training.strategies import (
    GRADUAL_EPOCHS,
    HEAD_EPOCHS,
    default_decay,
    default_head_rate,
    default_learning_rate,
    first_stage,
    plan_phases,
)

if TYPE_CHECKING:
    from torch import nn

    from zoo.models.pretrained import WeightsReport

PHOTO_PIXELS = 160
WEIGHT_DECAY = {"adamw": 0.05, "sgd": 5e-4, "adam": 0.0}
VIEWS = 4


def make_plan(
    recipe: Recipe, backbone: BackboneSpec, data: DatasetSpec, weights: WeightsReport, network: nn.Module
) -> Plan:
    """Decides what the recipe leaves open. Raises `UsageError` for what cannot go together."""
    reasons: dict[str, str] = {}
    strategy = recipe.strategy
    if strategy is None:
        strategy = "finetune" if weights.pretrained else "full"
        reasons["strategy"] = "pretrained weights" if weights.pretrained else "no pretrained weights"
    small = data.native_size is not None and data.native_size <= SMALL_PIXELS
    size = recipe.image_size
    if size is None:
        size, reasons["image size"] = _default_size(backbone, data, weights)
    check_size(size, backbone)
    stages = tuple(backbone.stages(network))
    first = first_stage(recipe.freeze_until, backbone.name, stages)
    _check_strategy(recipe, strategy, head_alone=first == len(stages) - 1)
    epochs = recipe.epochs or _default_epochs(strategy, stages=len(stages) - first, small=small)
    device, frozen_precision, machine_reasons = choose_machine(recipe.device, recipe.precision)
    reasons |= machine_reasons
    precision = frozen_precision
    if recipe.precision == "auto" and (device, precision) == ("cpu", "bf16") and _has_depthwise(network):
        precision, reasons["precision"] = "fp32", "depthwise convolutions train faster in it on a CPU"
    augment = recipe.augment or ("none" if strategy == "head" else data.augment)
    varied = augment != "none" or bool(recipe.variation())
    if recipe.views and recipe.views > 1 and not varied:
        raise UsageError(
            "Without augmentation, all views of a picture are the same.",
            "Add --augment, or leave out --views.",
            code="views-alike",
        )
    learning_rate = recipe.learning_rate or default_learning_rate(recipe.optimizer, strategy)
    preprocess, more_reasons = _preprocess(recipe, data, weights, size, small=small)
    reasons |= more_reasons
    return Plan(
        strategy=strategy,
        epochs=epochs,
        preprocess=preprocess,
        augment=augment,
        varied=varied,
        views=recipe.views or (VIEWS if varied else 1),
        learning_rate=learning_rate,
        weight_decay=WEIGHT_DECAY[recipe.optimizer] if recipe.weight_decay is None else recipe.weight_decay,
        phases=phases_of(recipe, strategy, epochs, learning_rate, stages=stages, first=first),
        fixed_statistics=weights.pretrained and strategy in ("finetune", "gradual"),
        device=device,
        precision=precision,
        frozen_precision=frozen_precision,
        reasons=reasons,
    )


def phases_of(
    recipe: Recipe, strategy: str, epochs: int, learning_rate: float, *, stages: Sequence[Stage], first: int
) -> tuple[PhasePlan, ...]:
    """The phases of a strategy, with the recipe's own rates and lengths where it has them.

    Args:
        epochs, learning_rate: of the strategy.
        stages: from stem to head.
        first: index of the first stage that ever trains.
    """
    given = recipe.head_learning_rate or (recipe.learning_rate if strategy == "gradual" else None)
    return plan_phases(
        strategy,
        epochs,
        learning_rate,
        stages=stages,
        first=first,
        decay=default_decay(strategy) if recipe.layer_decay is None else recipe.layer_decay,
        head_epochs=recipe.head_epochs or HEAD_EPOCHS,
        head_rate=given or default_head_rate(recipe.optimizer),
        unfreeze_at=recipe.unfreeze_at or (),
    )


def _check_strategy(recipe: Recipe, strategy: str, *, head_alone: bool) -> None:
    """Raises `UsageError` for options that the strategy, as it was decided, leaves without effect."""
    for name in without_effect({**recipe.options(), "strategy": strategy}, recipe.defaults()):
        raise UsageError(
            f"The option {name} has no effect with the strategy {strategy}, which was chosen because there are "
            f"{'' if strategy == 'finetune' else 'no '}pretrained weights.",
            f"Leave out {flag(name)}, or give --strategy.",
            code="option-without-effect",
        )
    if head_alone and recipe.freeze_until:
        for name in ("head_epochs", "head_learning_rate", "unfreeze_at"):
            if getattr(recipe, name) is not None:
                raise UsageError(
                    f"The option {name} has no effect: --freeze-until {recipe.freeze_until} lets the head alone train.",
                    f"Leave out {flag(name)}, or --freeze-until.",
                    code="option-without-effect",
                )


def moved_plan(plan: Plan, recipe: Recipe) -> Plan:
    """A recorded plan, on the device that the recipe asks for now."""
    device, precision, _ = choose_machine(recipe.device, recipe.precision)
    if device == plan.device:
        return plan
    return replace(plan, device=device, precision=precision, frozen_precision=precision)


def _default_epochs(strategy: str, *, stages: int, small: bool) -> int:
    """Takes the number of stages that train, and whether the pictures are small."""
    choices = {"head": HEAD_EPOCHS, "finetune": 4, "gradual": stages * GRADUAL_EPOCHS, "full": 8 if small else 30}
    return choices[strategy]


def _default_size(backbone: BackboneSpec, data: DatasetSpec, weights: WeightsReport) -> tuple[int, str]:
    if backbone.fixed_image_size:
        return backbone.min_image_size, "the only size of this backbone"
    if data.native_size is not None and data.native_size <= SMALL_PIXELS:
        size, why = data.native_size, "the pictures' own"
        if weights.pretrained:
            size, why = SMALL_PIXELS, "small pictures with pretrained weights"
    elif weights.spec is not None:
        size, why = weights.spec.image_size, "the weights' own"
    else:
        size, why = PHOTO_PIXELS, "photos, and no weights that ask for another size"
    if size < backbone.min_image_size:
        return backbone.min_image_size, "the least that this backbone takes"
    return size, why


def _preprocess(
    recipe: Recipe, data: DatasetSpec, weights: WeightsReport, size: int, *, small: bool
) -> tuple[PreprocessSpec, dict[str, str]]:
    resize, interpolation, reasons = _choose_resize(recipe, weights, small=small)
    if weights.spec is not None:
        mean, std, crop = weights.spec.mean, weights.spec.std, weights.spec.crop_fraction
    else:
        mean, std, crop = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), PHOTO_CROP
    spec = PreprocessSpec(
        image_size=size,
        mean=recipe.mean or mean,
        std=recipe.std or std,
        resize=resize,
        crop_fraction=1.0 if small or resize == "squash" else crop,
        interpolation=interpolation,
        channels=data.channels,
        pixel_range=recipe.pixel_range,
    )
    return spec, reasons


def _choose_resize(
    recipe: Recipe, weights: WeightsReport, *, small: bool
) -> tuple[ResizeMode, Interpolation, dict[str, str]]:
    """How pictures are resized, and why. At other sizes than the weights' own, too, as timm does.

    Recipes that runs kept before `interpolation` was an option name `crop` or `squash` alone: they stay bilinear.
    """
    own, reasons = None if small else weights.spec, dict[str, str]()
    resize, interpolation = recipe.resize, recipe.interpolation
    if resize is None:
        resize = own.resize if own else "crop"
        if weights.spec:
            reasons["resize"] = "the weights' own" if own else "small pictures, of which nothing is cut off"
    if interpolation is None:
        interpolation = "bilinear"
        if own and own.resize == resize:
            interpolation, reasons["interpolation"] = own.interpolation, "the weights' own"
    return resize, interpolation, reasons


def _has_depthwise(network: nn.Module) -> bool:
    """Whether it has convolutions of one channel a group, which a CPU differentiates slowly in bf16."""
    return any(getattr(module, "groups", 1) == getattr(module, "in_channels", 0) > 1 for module in network.modules())
