"""From raw pixels to a network's input, as a module for training, evaluation and export."""

# No postponed annotations here: torch.jit.script reads the class's annotations as types.
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import LUMA


class Preprocess(nn.Module):
    """Crop, resize, channel policy and normalisation.

    It works in eager PyTorch, `torch.jit.script` and `torch.export` with dynamic batch, height and width. That is the
    reason for the integer arithmetic on sizes, `sym_min` and `narrow`.

    Args:
        spec: the settings. `spec.image_size` is the side S of the result.
    """

    mean: Tensor
    std: Tensor
    luma: Tensor

    def __init__(self, spec: PreprocessSpec) -> None:
        super().__init__()
        fraction = Fraction(spec.crop_fraction).limit_denominator(4096)
        self.size: int = spec.image_size
        self.squash: bool = spec.resize == "squash"
        self.grey: bool = spec.channels == "grey"
        self.numerator: int = fraction.numerator
        self.denominator: int = fraction.denominator
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 `[N, H, W, 3]` with any H and W from 1; returns float32 `[N, 3, S, S]`, normalised."""
        return self.normalise(self.resize(images))

    def resize(self, images: Tensor) -> Tensor:
        """Takes uint8 `[N, H, W, 3]`; returns float32 `[N, 3, S, S]` in 0..255, neither grey nor normalised."""
        pixels = images.permute(0, 3, 1, 2)  # [N, 3, H, W]
        if not self.squash:
            pixels = self.centre(pixels)
        return F.interpolate(
            pixels.to(self.mean.dtype),
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )

    def normalise(self, pixels: Tensor) -> Tensor:
        """Takes float32 `[N, 3, S, S]` in 0..255; returns the same shape, normalised."""
        if self.grey:
            pixels = (pixels * self.luma).sum(1, keepdim=True).expand(-1, 3, -1, -1)
        return (pixels - self.mean) / self.std

    def centre(self, pixels: Tensor) -> Tensor:
        """Takes `[N, 3, H, W]`; returns the centred square of `spec.crop_fraction`."""
        height, width = pixels.shape[2], pixels.shape[3]
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            side = max(1, min(height, width) * self.numerator // self.denominator)
        else:
            side = torch.sym_max(1, torch.sym_min(height, width) * self.numerator // self.denominator)  # type: ignore[assignment]
        rows = pixels.narrow(2, (height - side) // 2, side)
        return rows.narrow(3, (width - side) // 2, side)
