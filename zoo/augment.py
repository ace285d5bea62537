"""Random views of training pictures: one draw per picture, on the device that trains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.preprocess import LUMA
from zoo.recipe import Recipe
from zoo.recipe_check import zoom_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Ranges that each picture's parameters are drawn from, uniformly.

    Attributes:
        degrees: rotation to either side.
        translate: shift to either side, as a share of the picture's side.
        scale: factor on the size of what is in the picture.
        crop: area of a random crop as a share of the picture's (Inception's, https://arxiv.org/abs/1409.4842).
        shear: slant to either side, in degrees.
        flip: how half of the pictures are mirrored: `none`, `horizontal`, `vertical`, `both` (each on its own).
        jitter: brightness, contrast and saturation change by a factor within 1 ± jitter.
        grey: share of the pictures that lose their colours.
    """

    degrees: float = 0.0
    translate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: tuple[float, float] | None = None
    shear: float = 0.0
    flip: str = "none"
    jitter: float = 0.0
    grey: float = 0.0


POLICIES: dict[str, Policy | None] = {
    "none": None,
    "digits": Policy(degrees=10, translate=0.08, scale=(0.9, 1.1)),
    "light": Policy(degrees=5, translate=0.12, scale=(0.9, 1.1), flip="horizontal"),
    "photos": Policy(crop=(0.35, 1.0), flip="horizontal", jitter=0.2),
}


def make_policy(recipe: Recipe, name: str) -> Policy | None:
    """The policy of that name with the recipe's single options in place of its own; None where nothing varies."""
    given = {
        "degrees": recipe.rotate,
        "translate": recipe.translate,
        "scale": zoom_range(recipe),
        "shear": recipe.shear,
        "flip": recipe.flip,
        "jitter": recipe.jitter,
        "grey": recipe.grey,
    }
    chosen: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    policy = POLICIES[name]
    if not chosen:
        return policy
    if not {"translate", "scale"}.isdisjoint(chosen):
        chosen["crop"] = None  # a crop draws both itself
    return replace(policy or Policy(), **chosen)


def augment(images: Tensor, policy: Policy, size: int, generator: torch.Generator) -> Tensor:
    """Draws one view of each picture.

    Args:
        images: uint8 `[N, H, W, 3]`.
        size: side S of the views, in pixels.
        generator: on the CPU, so that every device draws the same.

    Returns:
        float32 `[N, 3, S, S]` in 0..255.
    """
    theta = _affine(len(images), policy, generator).to(images.device)  # [N, 2, 3]
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float()
    views = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if policy.jitter:
        views = _jitter(views, policy.jitter, generator)
    return _grey(views, policy.grey, generator) if policy.grey else views


def _affine(count: int, policy: Policy, generator: torch.Generator) -> Tensor:
    """Maps output to input coordinates, both from -1 to 1: float32 `[N, 2, 3]`."""

    def draw(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    angle = draw(-policy.degrees, policy.degrees) * (math.pi / 180)
    if policy.crop:
        area, aspect = draw(*policy.crop), draw(math.log(3 / 4), math.log(4 / 3)).exp()
        width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        x, y = draw(-1, 1) * (1 - width), draw(-1, 1) * (1 - height)
    else:
        width = height = 1 / draw(*policy.scale)
        x, y = draw(-2, 2) * policy.translate, draw(-2, 2) * policy.translate
    half = 0.5
    mirrored = [
        1 - 2 * (draw(0, 1) < half).float() if policy.flip in (way, "both") else torch.ones(count)
        for way in ("horizontal", "vertical")
    ]
    slant = (draw(-policy.shear, policy.shear) * (math.pi / 180)).tan() if policy.shear else torch.zeros(count)
    cosine, sine = angle.cos(), angle.sin()
    across = torch.stack([mirrored[0] * width * cosine, height * (slant * cosine - sine) * mirrored[1], x], 1)
    down = torch.stack([mirrored[0] * width * sine, height * (slant * sine + cosine) * mirrored[1], y], 1)
    return torch.stack([across, down], 1)


def _grey(pixels: Tensor, share: float, generator: torch.Generator) -> Tensor:
    chosen = (torch.rand(len(pixels), 1, 1, 1, generator=generator) < share).to(pixels.device)
    luma = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    return torch.where(chosen, (pixels * luma).sum(1, keepdim=True), pixels)


def _jitter(pixels: Tensor, amount: float, generator: torch.Generator) -> Tensor:
    factors = 1 + amount * (2 * torch.rand(3, len(pixels), 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors.to(pixels.device)
    pixels = pixels * brightness
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * saturation
    centre = grey.mean((2, 3), keepdim=True)
    return torch.clamp(centre + (pixels - centre) * contrast, 0, 255)
