"""Antialiased resampling as matrix products whose weights are computed from height and width with plain operators.

`F.interpolate` computes the whole resized picture, of which a crop of a narrow one shows next to nothing. And not every
runtime computes its bicubic filter. The weights are Pillow's, in float32:
https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c
"""

# No postponed annotations here: torch.jit.script reads them as types.
import torch
from torch import Tensor


def weights(
    places: Tensor, first: int, count: int, *, length: int, shortest: int, resized: int, cubic: bool, dtype: torch.dtype
) -> Tensor:
    """How much each pixel of an axis adds to each pixel of the centre crop.

    What becomes a tensor at once costs torch.export no reasoning about sizes: 40 s of it otherwise.

    Args:
        places: int64 `[S]`, 0 to S - 1.
        first, count: the axis' pixels that the crop shows, and more.
        length: of the axis. It is resized like `shortest`, which is resized to `resized`.
        dtype: of the weights: float32, or float64 to measure what float32 rounds.

    Returns:
        `[S, count]`, whose rows have the sum 1.
    """
    whole = places[:1] * 0 + length  # [1]
    target = torch.div(whole * resized, shortest, rounding_mode="floor")
    left = target - places.shape[0]
    margin = (left + left // 2 % 2) // 2  # the half, rounded to an even number as torchvision does
    numerators = places * (2 * whole) + (2 * margin + 1) * whole - 2 * target * first
    centres = numerators.to(dtype) / (2 * target).to(dtype)
    scale = whole.to(dtype) / target.to(dtype)
    pixels = torch.arange(count, device=places.device).to(dtype)
    x = (pixels - centres[:, None] + 0.5).abs() * (1 / scale.clamp(min=1.0))
    if cubic:  # Keys' kernel with a = -0.5
        near = (1.5 * x - 2.5) * x * x + 1
        far = ((-0.5 * x + 2.5) * x - 4) * x + 2
        made = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))  # noqa: PLR2004
    else:
        made = (1 - x).clamp(min=0.0)
    return made / made.sum(1, keepdim=True)


def at_most(bound: int, value: int) -> int:
    """The smaller of two sizes, of which torch.export may know only the names."""
    if torch.jit.is_scripting():  # type: ignore[attr-defined]
        return min(bound, value)
    return torch.sym_min(bound, value)  # type: ignore[return-value]
