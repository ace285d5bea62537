"""The random part of augmentation: draws all parameters of all pictures, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from zoo.transforms.augment.policy import Policy
from zoo.transforms.augment.trivial import amount, draw_operations, placement
from zoo.transforms.preprocess_numpy import LUMA

MOST_ASPECT = 4 / 3  # of a crop: https://arxiv.org/abs/1409.4842
# Of an erased rectangle, as in torchvision's RandomErasing.
ERASED_AREA = (0.02, 0.33)
MOST_ERASED_ASPECT = 3.3

Uniform = Callable[[float, float], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The drawn parameters of N pictures. A parameter that the policy does not vary is None.

    Attributes:
        theta: maps output to input coordinates, both from -1 to 1: float32 `[N, 2, 3]`.
        colour: matrix on red, green and blue: float32 `[N, 3, 3]`.
        contrast: factor on the distance from the mean luma, applied after `colour`: float32 `[N]`.
        operation: index into `zoo.transforms.augment.trivial.NAMES`: int64 `[N]`. Its placements are already in
            `theta`, its colours in `colour`.
        strength: of the operation, in its unit: float32 `[N]`.
        box: left, top, right and bottom of the erased rectangle, from 0 to 1, or all 0: float32 `[N, 4]`.
    """

    theta: Tensor
    colour: Tensor | None = None
    contrast: Tensor | None = None
    operation: Tensor | None = None
    strength: Tensor | None = None
    box: Tensor | None = None

    def rows(self, index: Tensor | slice) -> Draws:
        """The draws of some of the pictures."""
        drawn = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[index] for name, value in drawn.items() if value is not None})


def draw(policy: Policy, count: int, generator: torch.Generator) -> Draws:
    """Draws the parameters of `count` pictures.

    Args:
        generator: on the CPU, so that every device and process draws the same. It is the only source of randomness.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count).uniform_(low, high, generator=generator)

    operation, strength = draw_operations(count, generator) if policy.trivial else (None, None)
    theta = _theta(policy, uniform)
    if operation is not None and strength is not None:
        theta = theta @ placement(operation, strength)
    colour, contrast = _colours(policy, operation, strength, uniform)
    return Draws(
        theta=theta[:, :2],
        colour=colour,
        contrast=contrast,
        operation=operation,
        strength=strength,
        box=_box(policy.erase, uniform) if policy.erase else None,
    )


def _rectangle(area: tuple[float, float], most_aspect: float, uniform: Uniform) -> tuple[Tensor, Tensor]:
    """Width and height of rectangles that fit into a square of side 1."""
    drawn = uniform(*area)
    limit = (-drawn.log()).clamp(max=math.log(most_aspect))
    aspect = (uniform(-1, 1) * limit).exp()
    return (drawn * aspect).sqrt().clamp(max=1), (drawn / aspect).sqrt().clamp(max=1)


def _theta(policy: Policy, uniform: Uniform) -> Tensor:
    """Crop or zoom and shift, rotation, shear and mirroring: float32 `[N, 3, 3]`."""
    if policy.crop:
        width, height = _rectangle(policy.crop, MOST_ASPECT, uniform)
        x, y = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    else:
        width = height = 1 / uniform(*policy.scale)
        x, y = uniform(-2, 2) * policy.translate, uniform(-2, 2) * policy.translate
    angle = uniform(-policy.degrees, policy.degrees).deg2rad()
    slant = uniform(-policy.shear, policy.shear).deg2rad().tan()
    ones = torch.ones_like(angle)
    mirror_x, mirror_y = (
        torch.where(uniform(-1, 1) < 0, -1.0, 1.0) if policy.flip in (way, "both") else ones
        for way in ("horizontal", "vertical")
    )
    cosine, sine, nothing = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = (
        (mirror_x * width * cosine, mirror_y * height * (slant * cosine - sine), x),
        (mirror_x * width * sine, mirror_y * height * (slant * sine + cosine), y),
        (nothing, nothing, ones),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _colours(
    policy: Policy, operation: Tensor | None, strength: Tensor | None, uniform: Uniform
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    """The matrix on colours, float32 `[N, 3, 3]`, and the contrast, float32 `[N]`."""
    if not (policy.jitter or policy.hue or policy.grey or policy.trivial):
        return None, None
    brightness, saturation, contrast = (1 + policy.jitter * uniform(-1, 1) for _ in range(3))
    if operation is not None and strength is not None:
        brightness = brightness * (1 + amount("brightness", operation, strength))
        saturation = saturation * (1 + amount("saturation", operation, strength))
        contrast = contrast * (1 + amount("contrast", operation, strength))
    if policy.grey:
        saturation = torch.where(uniform(0, 1) < policy.grey, 0.0, saturation)
    same, luma = torch.eye(3), torch.tensor(LUMA).expand(3, 3)
    saturated = luma + saturation.view(-1, 1, 1) * (same - luma)
    matrix = brightness.view(-1, 1, 1) * saturated
    return (matrix @ _turned(policy.hue, uniform) if policy.hue else matrix), contrast


def _turned(hue: float, uniform: Uniform) -> Tensor:
    """Rotations about the grey axis, float32 `[N, 3, 3]`. DALI's `hsv` also does this instead of a conversion to HSV.

    https://docs.nvidia.com/deeplearning/dali/user-guide/docs/operations/nvidia.dali.fn.hsv.html
    """
    angle = (2 * math.pi * hue * uniform(-1, 1)).view(-1, 1, 1)
    across = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    along = torch.full((3, 3), 1 / 3)
    return along + angle.cos() * (torch.eye(3) - along) + angle.sin() * across


def _box(share: float, uniform: Uniform) -> Tensor:
    width, height = _rectangle(ERASED_AREA, MOST_ERASED_ASPECT, uniform)
    left, top = uniform(0, 1) * (1 - width), uniform(0, 1) * (1 - height)
    box = torch.stack([left, top, left + width, top + height], 1)
    return torch.where((uniform(0, 1) < share)[:, None], box, 0.0)
