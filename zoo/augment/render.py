"""The deterministic part of augmentation: from pixels and draws to views."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.augment.draws import Draws
from zoo.augment.trivial import change
from zoo.data.store import MARGIN
from zoo.preprocess import LUMA

MID_GREY = 127.5
# Sampling has no antialiasing. Photos at half their size differ by 0.07 of their deviation from an antialiased resize,
# by 0.03 where they are first reduced, with antialiasing, to a store's margin; at 2/3 by 0.05 and 0.04, at 7/8 by 0.03.
MOST_SHRINKAGE = 1.5


def augment(images: Tensor, draws: Draws, size: int, fill: Tensor | float = MID_GREY) -> Tensor:
    """Makes one view of each picture; on a CPU the same bits whichever other pictures are in the batch.

    Args:
        images: uint8 `[N, R, R, 3]`.
        draws: of the N pictures.
        size: side S of the views, in pixels.
        fill: what an erased rectangle holds, in 0..255: a number, or float32 `[1, 3, 1, 1]`.

    Returns:
        float32 `[N, 3, S, S]` in 0..255.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    if images.shape[1] > MOST_SHRINKAGE * size:
        side = round(size * MARGIN)
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    grid = F.affine_grid(draws.theta.to(images.device), [len(images), 3, size, size], align_corners=False)
    views = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if draws.colour is not None and draws.contrast is not None:
        views = _recolour(views, draws.colour, draws.contrast)
    if draws.operation is not None and draws.strength is not None:
        change(views, draws.operation, draws.strength)
    if draws.box is not None:
        _erase(views, draws.box, fill)
    return views


def _recolour(views: Tensor, matrix: Tensor, contrast: Tensor) -> Tensor:
    changed = (matrix != torch.eye(3)).flatten(1).any(1) | (contrast != 1)
    if changed.all():
        return _recoloured(views, matrix.to(views.device), contrast.to(views.device))
    rows = changed.nonzero().flatten()
    here = rows.to(views.device)
    views[here] = _recoloured(views[here], matrix[rows].to(views.device), contrast[rows].to(views.device))
    return views


def _recoloured(views: Tensor, matrix: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, saturation, hue and contrast are one affine map of the colours, whose shift is the mean luma's."""
    means = views.mean(3).mean(2)  # [N, 3]
    luma = (matrix * torch.tensor(LUMA, device=views.device).view(1, 3, 1)).sum(1)  # [N, 3]
    shift = (1 - contrast) * (luma * means).sum(1)  # [N]
    scaled = contrast.view(-1, 1, 1) * matrix
    colours = torch.baddbmm(shift.view(-1, 1, 1), scaled, views.flatten(2))  # [N, 3, S * S]
    return colours.clamp_(0, 255).view_as(views)


def _erase(views: Tensor, box: Tensor, fill: Tensor | float) -> None:
    rows = box.any(1).nonzero().flatten()
    here, size = rows.to(views.device), views.shape[-1]
    left, top, right, bottom = box[rows].to(views.device).view(-1, 4, 1, 1).unbind(1)  # each [n, 1, 1]
    centres = (torch.arange(size, device=views.device) + 0.5) / size
    inside = (centres >= left) & (centres < right) & (centres[:, None] >= top) & (centres[:, None] < bottom)
    views[here] = torch.where(inside[:, None], fill, views[here])
