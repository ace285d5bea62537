"""The deterministic part of augmentation: makes views from pixels and draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.transforms.augment.draws import Draws
from zoo.transforms.augment.policy import MARGIN
from zoo.transforms.augment.trivial import change
from zoo.transforms.preprocess_numpy import LUMA

# Left, top, right and bottom in pixels, and the axes along which what is inside is mirrored.
Cut = tuple[list[int], list[int]]

SAME = torch.eye(3)
MID_GREY = 127.5
CACHED_PIXELS = 2 * 224**2  # of the views that a core renders together: more of them leave its cache
# Sampling has no antialiasing. Photos at half their size differ by 0.07 of their deviation from an antialiased resize,
# by 0.03 where they are first reduced, with antialiasing, to a store's margin; at 2/3 by 0.05 and 0.04, at 7/8 by 0.03.
MOST_SHRINKAGE = 1.5


def augment(
    images: Tensor,
    draws: Draws,
    size: int,
    *,
    fill: Tensor | float = MID_GREY,
    finish: Callable[[Tensor], Tensor] = lambda views: views,
) -> Tensor:
    """Makes one view of each picture. On a CPU, the other pictures of the batch do not change a bit of it.

    Args:
        images: uint8 `[N, R, R, 3]`.
        draws: for the N pictures.
        size: side S of the views, in pixels.
        fill: colour of an erased rectangle, in 0..255: a number, or float32 `[1, 3, 1, 1]`.
        finish: a last step, from views in 0..255 to the result, both float32 `[n, 3, S, S]`.

    Returns:
        float32 `[N, 3, S, S]`, channels last.
    """
    views = torch.empty((len(images), 3, size, size), device=images.device, memory_format=torch.channels_last)
    on_cpu = images.device.type == "cpu"
    cuts = _cuts(draws.theta, images.shape[1]) if on_cpu else [None] * len(images)
    step = max(1, CACHED_PIXELS // size**2 * torch.get_num_threads()) if on_cpu else len(images)
    for begin in range(0, len(images), step):
        part = slice(begin, begin + step)
        with torch.autocast(images.device.type, enabled=False):  # it would mix colours in bf16
            rendered = _render(images[part], draws.rows(part), cuts[part], size, fill)
        views[part] = finish(rendered)
    return views


def _render(images: Tensor, draws: Draws, cuts: Sequence[Cut | None], size: int, fill: Tensor | float) -> Tensor:
    views = _placed(images, draws.theta, cuts, size, planar=draws.colour is not None)
    if draws.colour is not None and draws.contrast is not None:
        views = _recolour(views, draws.colour, draws.contrast)
    if draws.operation is not None and draws.strength is not None:
        change(views, draws.operation, draws.strength)
    if draws.box is not None:
        _erase(views, draws.box, fill)
    return views


def _sampled(images: Tensor, theta: Tensor, size: int) -> Tensor:
    pixels = images.permute(0, 3, 1, 2).float()
    if images.shape[1] > MOST_SHRINKAGE * size:
        side = round(size * MARGIN)
        pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    grid = _grid(theta.to(images.device), size)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _cuts(theta: Tensor, side: int) -> list[Cut | None]:
    """The rectangle of each picture that is only cropped and mirrored, None for the others."""
    extent = theta.diagonal(dim1=1, dim2=2).abs()  # [N, 2], half of the rectangle's sides in -1..1
    corners = torch.cat([theta[:, :, 2] - extent, theta[:, :, 2] + extent], 1)  # [N, 4]
    upright = (theta[:, 0, 1] == 0) & (theta[:, 1, 0] == 0) & (corners.abs() <= 1).all(1) & (extent < 1).all(1)
    boxes = ((corners + 1) * (side / 2)).round().long()
    boxes[:, :2].clamp_(max=side - 1)
    boxes[:, 2:] = boxes[:, 2:].maximum(boxes[:, :2] + 1)
    flipped = zip((theta[:, 1, 1] < 0).tolist(), (theta[:, 0, 0] < 0).tolist(), strict=True)
    axes = [[axis for axis, flips in zip((2, 3), both, strict=True) if flips] for both in flipped]
    found = zip(upright.tolist(), boxes.tolist(), axes, strict=True)
    return [(box, along) if alone else None for alone, box, along in found]


def _placed(images: Tensor, theta: Tensor, cuts: Sequence[Cut | None], size: int, *, planar: bool) -> Tensor:
    """Views in 0..255, float32 `[N, 3, S, S]`. `planar` is the layout for changes of colour."""
    whole = [cut for cut in cuts if cut]
    if not whole:
        return _sampled(images, theta, size)
    if len(whole) == len(cuts):
        return _cut(images, whole, size, planar=planar)
    views, upright = torch.empty(len(images), 3, size, size), torch.tensor([cut is not None for cut in cuts])
    views[upright] = _cut(images[upright], whole, size, planar=True)
    views[~upright] = _sampled(images[~upright], theta[~upright], size)
    return views


def _cut(images: Tensor, cuts: Sequence[Cut], size: int, *, planar: bool) -> Tensor:
    """PyTorch resizes uint8 pictures of a CPU with antialiasing in less time than it samples a grid."""
    views = torch.empty((len(images), 3, size, size), dtype=torch.uint8, memory_format=torch.channels_last)
    pixels = images.permute(0, 3, 1, 2)
    for index, ((left, top, right, bottom), flipped) in enumerate(cuts):
        one = slice(index, index + 1)  # not `index`: a view without its batch stride no longer counts as channels last
        inside = pixels[one, :, top:bottom, left:right]
        resized = F.interpolate(inside, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        views[one] = resized.flip(flipped) if flipped else resized
    layout = torch.contiguous_format if planar else torch.channels_last
    return views.to(torch.float32, memory_format=layout)


def _grid(theta: Tensor, size: int) -> Tensor:
    """What `F.affine_grid` gives, in a third of its time on a CPU: float32 `[N, S, S, 2]`."""
    centres = (2 * torch.arange(size, device=theta.device) + 1) / size - 1
    grid = theta.new_empty((len(theta), size, size, 2))
    for axis in (0, 1):
        across, down, shift = theta[:, axis].unsqueeze(-1).unbind(1)  # each [N, 1]
        torch.add((across * centres)[:, None], (down * centres + shift)[:, :, None], out=grid[..., axis])
    return grid


def _recolour(views: Tensor, matrix: Tensor, contrast: Tensor) -> Tensor:
    changed = (matrix != SAME).flatten(1).any(1) | (contrast != 1)
    if changed.all():
        return _recoloured(views, matrix.to(views.device), contrast.to(views.device))
    rows = changed.nonzero().flatten()
    here = rows.to(views.device)
    views[here] = _recoloured(views[here], matrix[rows].to(views.device), contrast[rows].to(views.device))
    return views


def _recoloured(views: Tensor, matrix: Tensor, contrast: Tensor) -> Tensor:
    """Brightness, saturation, hue and contrast are one affine map of the colours, whose shift is the mean luma's."""
    planes = views.flatten(2)  # [N, 3, S * S]
    means = planes.mean(2)  # [N, 3]
    luma = (matrix * torch.tensor(LUMA, device=views.device).view(1, 3, 1)).sum(1)  # [N, 3]
    shift = (1 - contrast) * (luma * means).sum(1)  # [N]
    scaled = contrast.view(-1, 1, 1) * matrix
    colours = torch.baddbmm(shift.view(-1, 1, 1), scaled, planes)
    return colours.clamp_(0, 255).view_as(views)


def _erase(views: Tensor, box: Tensor, fill: Tensor | float) -> None:
    rows = box.any(1).nonzero().flatten()
    here, size = rows.to(views.device), views.shape[-1]
    left, top, right, bottom = box[rows].to(views.device).view(-1, 4, 1, 1).unbind(1)  # each [n, 1, 1]
    centres = (torch.arange(size, device=views.device) + 0.5) / size
    inside = (centres >= left) & (centres < right) & (centres[:, None] >= top) & (centres[:, None] < bottom)
    views[here] = torch.where(inside[:, None], fill, views[here])
