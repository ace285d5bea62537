"""What a training will do, decided from the recipe, the data, the weights and the machine; and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.recipes.parsing import channels, flag, without_effect
from zoo.recipes.recipe import Recipe
from zoo.specs import BackboneSpec, DatasetSpec, PreprocessSpec
from zoo.training.devices import choose_machine
from zoo.training.strategies import (
    GRADUAL_EPOCHS,
    HEAD_EPOCHS,
    PhasePlan,
    default_learning_rate,
    first_stage,
    plan_phases,
)

if TYPE_CHECKING:
    from torch import nn

    from zoo.models.pretrained import WeightsReport
    from zoo.runs.run import Run

SMALL_PIXELS = 96
PHOTO_PIXELS = 160
PHOTO_CROP = 0.875
WEIGHT_DECAY = {"adamw": 0.05, "sgd": 5e-4, "adam": 0.0}
VIEWS = 4
# The options that vary training pictures beside, or in place of, a named policy.
PARTS = ("rotate", "translate", "zoom", "crop", "shear", "flip", "jitter", "hue", "grey", "trivial", "erase")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The recipe with every None and `auto` decided.

    Attributes:
        varied: whether training pictures are augmented: by the policy `augment`, or by single options.
        views: how many augmented views of a picture are stored where features are.
        phases: what trains when.
        fixed_statistics: whether BatchNorm keeps the statistics of the pretrained weights while its weights train.
        frozen_precision: in which the stages compute that do not train.
        reasons: for choices that the user left open, a few words each.
    """

    strategy: str
    epochs: int
    preprocess: PreprocessSpec
    augment: str
    varied: bool
    views: int
    learning_rate: float
    weight_decay: float
    phases: tuple[PhasePlan, ...]
    fixed_statistics: bool
    device: str
    precision: str
    frozen_precision: str
    reasons: dict[str, str] = field(default_factory=dict)


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
    stages = backbone.stages(network)
    first = first_stage(recipe, backbone, stages)
    _check_strategy(recipe, strategy, head_alone=first == len(stages) - 1)
    epochs = recipe.epochs or _default_epochs(strategy, stages=len(stages) - first, small=small)
    device, frozen_precision, machine_reasons = choose_machine(recipe)
    reasons |= machine_reasons
    precision = frozen_precision
    if recipe.precision == "auto" and (device, precision) == ("cpu", "bf16") and _has_depthwise(network):
        precision, reasons["precision"] = "fp32", "depthwise convolutions train faster in it on a CPU"
    augment = recipe.augment or ("none" if strategy == "head" else data.augment)
    varied = augment != "none" or any(getattr(recipe, name) is not None for name in PARTS)
    if recipe.views and recipe.views > 1 and not varied:
        raise UsageError(
            "Several views of a picture are alike without augmentation.", "Add --augment, or leave out --views."
        )
    learning_rate = recipe.learning_rate or default_learning_rate(recipe.optimizer, strategy)
    return Plan(
        strategy=strategy,
        epochs=epochs,
        preprocess=_preprocess(recipe, data, weights, size, small=small),
        augment=augment,
        varied=varied,
        views=recipe.views or (VIEWS if varied else 1),
        learning_rate=learning_rate,
        weight_decay=WEIGHT_DECAY[recipe.optimizer] if recipe.weight_decay is None else recipe.weight_decay,
        phases=plan_phases(recipe, strategy, epochs, learning_rate, first=first, stages=stages),
        fixed_statistics=weights.pretrained and strategy in ("finetune", "gradual"),
        device=device,
        precision=precision,
        frozen_precision=frozen_precision,
        reasons=reasons,
    )


def _check_strategy(recipe: Recipe, strategy: str, *, head_alone: bool) -> None:
    """Raises `UsageError` for options that the strategy, as it was decided, leaves without effect."""
    for name in without_effect({**recipe.options(), "strategy": strategy}, recipe.defaults()):
        raise UsageError(
            f"The option {name} has no effect with the strategy {strategy}, which was chosen because there are "
            f"{'' if strategy == 'finetune' else 'no '}pretrained weights.",
            f"Leave out {flag(name)}, or give --strategy.",
        )
    if head_alone and recipe.freeze_until:
        for name in ("head_epochs", "head_learning_rate", "unfreeze_at"):
            if getattr(recipe, name) is not None:
                raise UsageError(
                    f"The option {name} has no effect: --freeze-until {recipe.freeze_until} lets the head alone train.",
                    f"Leave out {flag(name)}, or --freeze-until.",
                )


def recorded_plan(run: Run, recipe: Recipe) -> Plan:
    """The plan that run.json holds, on the device that the recipe asks for now."""
    plan = dict(run.info["plan"])
    phases = (PhasePlan(**{**one, "learning_rates": tuple(one["learning_rates"])}) for one in plan.pop("phases"))
    device, frozen_precision, _ = choose_machine(recipe)
    if device != plan["device"]:
        plan |= {"device": device, "precision": frozen_precision, "frozen_precision": frozen_precision}
    return Plan(**plan, phases=tuple(phases), preprocess=run.preprocess)


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


def check_size(size: int, backbone: BackboneSpec) -> None:
    """Raises `UsageError` where the backbone does not take pictures of S = `size` pixels."""
    if backbone.fixed_image_size and size != backbone.min_image_size:
        raise UsageError(
            f"{backbone.name} takes pictures of {backbone.min_image_size} pixels and no other size.",
            f"Leave out --image-size, or choose another backbone (given: {size}).",
        )
    if size < backbone.min_image_size:
        raise UsageError(
            f"{backbone.name} needs pictures of at least {backbone.min_image_size} pixels, not {size}.",
            f"Give --image-size {backbone.min_image_size} or more, or choose another backbone.",
        )


def _preprocess(recipe: Recipe, data: DatasetSpec, weights: WeightsReport, size: int, *, small: bool) -> PreprocessSpec:
    if weights.spec is not None:
        mean, std, crop = weights.spec.mean, weights.spec.std, weights.spec.crop_fraction
    else:
        mean, std, crop = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), PHOTO_CROP
    return PreprocessSpec(
        image_size=size,
        mean=channels(recipe, "mean") or mean,
        std=channels(recipe, "std") or std,
        resize=recipe.resize,
        crop_fraction=1.0 if small or recipe.resize == "squash" else crop,
        channels=data.channels,
    )


def _has_depthwise(network: nn.Module) -> bool:
    """Whether it has convolutions of one channel a group, which a CPU differentiates slowly in bf16."""
    return any(getattr(module, "groups", 1) == getattr(module, "in_channels", 0) > 1 for module in network.modules())
