"""The preprocessing of weights from elsewhere."""

from __future__ import annotations

from typing import Literal, get_args

from zoo.errors import UsageError
from zoo.models.image_size import check_size
from zoo.recipes.recipe import Recipe
from zoo.recipes.values import impossible
from zoo.specs import BackboneSpec, Interpolation, PreprocessSpec, ResizeMode

Channels = Literal["rgb", "bgr", "grey"]


def choose_preprocess(
    backbone: BackboneSpec,
    recipe: Recipe,
    recorded: PreprocessSpec | None,
    *,
    resize: ResizeMode | None,
    interpolation: Interpolation | None,
    crop_fraction: float | None,
    channels: Channels,
) -> PreprocessSpec:
    """The given values, where there are any; else the recorded ones; else those of the backbone's published weights.

    Args:
        recipe: its image size, mean, std and range of pixels count as given.
        recorded: of the run that the weights lie in.
        resize, interpolation, crop_fraction: None where they are not given.
        channels: with `bgr`, the mean and std of the recipe and of the weights are in this order.

    Raises:
        UsageError: a value is impossible, or is not known.
    """
    _check_choice("channels", channels, get_args(Channels))
    _check_choice("resize", resize or "crop", get_args(ResizeMode))
    _check_choice("interpolation", interpolation or "bilinear", get_args(Interpolation))
    if crop_fraction is not None and not 0 < crop_fraction <= 1:
        raise impossible("crop_fraction", crop_fraction, "Give a share of the shorter side above 0, to 1: 0.875")
    base = recorded or _published(backbone)
    size, mean, std = recipe.image_size, recipe.mean, recipe.std
    if base:
        size, mean, std = size or base.image_size, mean or base.mean, std or base.std
    elif backbone.fixed_image_size:
        size = backbone.min_image_size
    if size is None or mean is None or std is None:
        values = (("--image-size", size), ("--mean", mean), ("--std", std))
        missing = ", ".join(name for name, value in values if value is None)
        raise UsageError(
            f"{backbone.name} has no published weights, so the preprocessing of yours is not known.",
            f"Give the values of its training: {missing}",
            code="preprocessing-unknown",
        )
    check_size(size, backbone)
    how = resize or (base.resize if base else "crop")
    if how == "squash" and crop_fraction is not None:
        raise UsageError(
            "--crop-fraction has no effect with --resize squash.",
            "Leave out one of them.",
            code="option-without-effect",
        )
    red_first = channels != "bgr"
    return PreprocessSpec(
        image_size=size,
        mean=mean if red_first else mean[::-1],
        std=std if red_first else std[::-1],
        resize=how,
        crop_fraction=1.0 if how == "squash" else crop_fraction or (base.crop_fraction if base else 1.0),
        interpolation=interpolation or (base.interpolation if base else "bilinear"),
        channels="grey" if channels == "grey" or (base and base.channels == "grey") else "rgb",
        pixel_range=recipe.pixel_range or (base.pixel_range if base else None),
    )


def _published(backbone: BackboneSpec) -> PreprocessSpec | None:
    weights = backbone.weights
    if weights is None:
        return None
    return PreprocessSpec(
        image_size=weights.image_size,
        mean=weights.mean,
        std=weights.std,
        resize=weights.resize,
        crop_fraction=weights.crop_fraction,
        interpolation=weights.interpolation,
    )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise impossible(name, value, f"Choose one of {', '.join(known)}.")
