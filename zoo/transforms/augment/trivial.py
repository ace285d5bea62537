"""TrivialAugment, Wide: one operation at a random strength per picture (https://arxiv.org/abs/2103.10158).

Operations and strengths are those of `torchvision.transforms.v2.TrivialAugmentWide`, with three differences. Shifts are
a share of the side (torchvision's 32 pixels of 224). Shears keep the centre. New areas at the border show the rest of
the picture around a crop, or its repeated border, instead of black.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 31
# Strength at the lowest and at the highest level, and whether half of the pictures get it with a minus.
SPACE: dict[str, tuple[float, float, bool]] = {
    "identity": (0, 0, False),
    "shear_x": (0, 0.99, True),  # the slant's tangent
    "shear_y": (0, 0.99, True),
    "translate_x": (0, 32 / 224, True),  # share of the side
    "translate_y": (0, 32 / 224, True),
    "rotate": (0, 135, True),  # degrees
    "brightness": (0, 0.99, True),  # these four: added to a factor of 1
    "saturation": (0, 0.99, True),
    "contrast": (0, 0.99, True),
    "sharpness": (0, 0.99, True),
    "posterize": (8, 2, False),  # bits that stay
    "solarize": (255, 0, False),  # pixels from here on are inverted
    "autocontrast": (0, 0, False),
    "equalize": (0, 0, False),
}
NAMES = tuple(SPACE)


def draw_operations(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each picture an index into `NAMES`, int64 `[N]`, and the strength in its unit, float32 `[N]`."""
    operation = torch.randint(len(SPACE), (count,), generator=generator)
    level = torch.randint(LEVELS, (count,), generator=generator) / (LEVELS - 1)
    minus = torch.rand(count, generator=generator) < 0.5  # noqa: PLR2004
    low, high, signed = torch.tensor(list(SPACE.values()), dtype=torch.float32)[operation].unbind(1)
    strength = low + (high - low) * level
    strength = torch.where(operation == NAMES.index("posterize"), strength.round(), strength)
    return operation, torch.where(minus & (signed > 0), -strength, strength)


def amount(name: str, operation: Tensor, strength: Tensor) -> Tensor:
    """The strength of one operation, 0 for the pictures with another operation: float32 `[N]`."""
    return torch.where(operation == NAMES.index(name), strength, 0.0)


def placement(operation: Tensor, strength: Tensor) -> Tensor:
    """The geometric operations as maps of coordinates from -1 to 1: float32 `[N, 3, 3]`."""

    def of(name: str) -> Tensor:
        return amount(name, operation, strength)

    angle = of("rotate").deg2rad()
    cosine, sine, nothing = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = (
        (cosine, of("shear_x") - sine, 2 * of("translate_x")),
        (of("shear_y") + sine, cosine, 2 * of("translate_y")),
        (nothing, nothing, nothing + 1),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def change(views: Tensor, operation: Tensor, strength: Tensor) -> None:
    """Applies the operations that change neither placement nor colours.

    Args:
        views: float32 `[N, 3, S, S]` in 0..255, changed in place. Changed views have whole numbers.
    """
    for name, function in PHOTOMETRIC.items():
        rows = (operation == NAMES.index(name)).nonzero().flatten()
        if len(rows):
            here = rows.to(views.device)
            pixels, power = views[here].round().byte(), strength[rows].to(views.device).view(-1, 1, 1, 1)
            views[here] = function(pixels, power).float()


def _sharpened(pixels: Tensor, power: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    blurred: Tensor = functional.adjust_sharpness(pixels, 0).float()
    return (blurred + (1 + power) * (pixels - blurred)).clamp_(0, 255)


def _posterized(pixels: Tensor, bits: Tensor) -> Tensor:
    mask: Tensor = (256 - 2 ** (8 - bits)).byte()
    return pixels & mask


def _solarized(pixels: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(pixels >= threshold, 255 - pixels, pixels)


def _contrasted(pixels: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    widened: Tensor = functional.autocontrast(pixels)
    return widened


def _equalized(pixels: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional

    flattened: Tensor = functional.equalize(pixels)
    return flattened


PHOTOMETRIC = {
    "sharpness": _sharpened,
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _contrasted,
    "equalize": _equalized,
}
