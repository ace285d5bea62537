"""From raw pixels to a network's input, as a module for training, evaluation and export."""

# No postponed annotations here: torch.jit.script reads the class's annotations as types.
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import LUMA, shorter_side, shown
from zoo.transforms.resampling import at_most, weights


class Preprocess(nn.Module):
    """Crop, resize, channel policy and normalisation.

    It works in eager PyTorch, `torch.jit.script` and `torch.export` with dynamic batch, height and width. That is the
    reason for the integer arithmetic on sizes, `sym_min` and `narrow`. What is `Final` chooses between programs: a
    file has the code of one way alone.

    Args:
        spec: the settings. `spec.image_size` is the side S of the result.
    """

    mean: Tensor
    std: Tensor
    luma: Tensor
    resampled: Final[bool]
    shorter: Final[bool]
    cubic: Final[bool]
    resized: Final[int]
    more: Final[int]

    def __init__(self, spec: PreprocessSpec) -> None:
        super().__init__()
        fraction, more = shown(spec)
        self.size: int = spec.image_size
        self.squash: bool = spec.resize == "squash"
        self.resampled = spec.resampled
        self.shorter = spec.resize == "shorter"
        self.more = more
        self.cubic = spec.interpolation == "bicubic"
        self.resized = shorter_side(spec)
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
        if self.resampled:
            return self.resample(pixels)
        if not self.squash:
            pixels = self.centre(pixels)
        return F.interpolate(
            pixels.to(self.mean.dtype),
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )

    def resample(self, pixels: Tensor) -> Tensor:
        """Takes uint8 `[N, 3, H, W]`; returns float32 `[N, 3, S, S]` in 0..255."""
        if not (self.squash or self.shorter):
            pixels = self.centre(pixels)
        height, width = pixels.shape[2], pixels.shape[3]
        left, top, columns, rows = 0, 0, width, height
        if self.shorter:
            shortest = at_most(height, width)
            side = shortest * self.numerator // self.denominator + self.more
            columns, rows = at_most(width, side), at_most(height, side)
            left, top = (width - columns) // 2, (height - rows) // 2
            pixels = self.cut(pixels, top, rows, left, columns)
            narrow, low = shortest, shortest
        else:
            narrow, low = width, height
        places = torch.arange(self.size, device=pixels.device)
        resized, cubic, dtype = self.resized, self.cubic, self.mean.dtype
        along_columns = weights(
            places, left, columns, length=width, shortest=narrow, resized=resized, cubic=cubic, dtype=dtype
        )
        along_rows = weights(places, top, rows, length=height, shortest=low, resized=resized, cubic=cubic, dtype=dtype)
        lines = pixels.to(dtype) @ along_columns.t()  # [N, 3, rows, S]
        if self.cubic:  # Pillow limits both products
            return (along_rows @ lines.clamp(0.0, 255.0)).clamp(0.0, 255.0)
        return along_rows @ lines

    def cut(self, pixels: Tensor, top: int, rows: int, left: int, columns: int) -> Tensor:
        """Takes `[N, 3, H, W]`; returns its rectangle `[N, 3, rows, columns]`."""
        return pixels.narrow(2, top, rows).narrow(3, left, columns)

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
