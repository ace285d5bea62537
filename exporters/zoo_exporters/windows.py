"""The preprocessing in plain operators, for runtimes that have no antialiased resize or ignore that it is one.

OpenVINO and OpenCV run ONNX's `Resize` without its antialiasing, and say nothing. So the resize is two matrix products
whose weights the graph computes from height and width, as in `zoo.transforms.resampling`. A dense product would take
three times as long as `Resize`, and nearly all of its weights would be 0. So each block of `BLOCK` pixels of the result
is a product of its own with the window of the picture that it sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.transforms.preprocess import Preprocess
from zoo_exporters.window_graph import BLOCK

if TYPE_CHECKING:
    from zoo_exporters.program import Program


def in_plain_operators(shipped: Program) -> None:
    """Changes the preprocessing of a program that takes pixels, if it is the one of zoo."""
    if type(shipped.preprocess) is Preprocess:
        shipped.preprocess.__class__ = WindowedPreprocess


class WindowedPreprocess(Preprocess):
    """`Preprocess` for ONNX, with the same numbers up to rounding. It is never trained or scripted."""

    def resize(self, images: Tensor) -> Tensor:
        """Takes uint8 `[N, H, W, 3]`; returns float32 `[N, 3, S, S]` in 0..255."""
        down, across = self._axes(images.shape[1], images.shape[2])
        if self.cubic:  # Pillow limits both products, so that their order counts
            pixels = images.permute(0, 3, 2, 1).narrow(3, down.start, down.count)  # [N, 3, W, rows]
            columns = self._shrunk(pixels, across, across.start).clamp(0.0, 255.0)  # [N, 3, S, rows]
            return self._shrunk(columns.transpose(2, 3), down).clamp(0.0, 255.0)
        # A copy of columns, but none of rows: the window's places are moved instead.
        pixels = images.permute(0, 3, 1, 2).narrow(3, across.start, across.count)  # [N, 3, H, columns]
        rows = self._shrunk(pixels, down, down.start)  # [N, 3, S, columns]
        return self._shrunk(rows.transpose(2, 3), across).transpose(2, 3)

    def _axes(self, height: int, width: int) -> tuple[_Axis, _Axis]:
        """What is shown of the picture's rows and columns, and how it is resized."""
        shortest: Any = torch.sym_min(height, width)
        if self.squash:
            return _Axis(0, height, height, 0, height), _Axis(0, width, width, 0, width)
        side: Any = shortest * self.numerator // self.denominator
        if not self.shorter:
            side = torch.sym_max(1, side)
            return _Axis((height - side) // 2, side, side, 0, side), _Axis((width - side) // 2, side, side, 0, side)
        axes = []
        for length in (height, width):
            count: Any = torch.sym_min(length, side + self.more)
            first = (length - count) // 2
            axes.append(_Axis(first, count, length, first, shortest))
        return axes[0], axes[1]

    def _shrunk(self, pixels: Tensor, axis: _Axis, moved: int = 0) -> Tensor:
        """Takes `[N, 3, L, M]`; returns float32 `[N, 3, S, M]`.

        Args:
            moved: the first of the L that counts.
        """
        places, weights = self._windows(axis)
        seen = pixels.index_select(2, (places + moved).flatten())
        seen = torch.unflatten(seen, 2, places.shape)  # [N, 3, B, K, M]
        blocks: Tensor = weights @ seen.to(self.mean.dtype)  # [N, 3, B, BLOCK, M]
        return blocks.flatten(2, 3)[:, :, : self.size]

    def _windows(self, axis: _Axis) -> tuple[Tensor, Tensor]:
        """The places, int64 `[B, K]`, that each block sees, and their weights, float32 `[B, BLOCK, K]`.

        Only what every runtime has: no integers or truth values where floats do.
        """
        taps, size = 2 if self.cubic else 1, self.resized
        # `length` pixels become fewer than size / shortest * (1 + 1 / size) of them.
        reach: Any = (BLOCK - 1) * axis.shortest + 2 * taps * torch.sym_max(axis.shortest, size)
        window = torch.arange(reach * (size + 1) // (size * size) + 2).float()
        places = torch.arange(-(-self.size // BLOCK) * BLOCK).clamp(max=self.size - 1)
        centres, scale = self._grid(places, axis)
        centres, stretch = centres.view(-1, BLOCK), scale.clamp(min=1.0)
        seen = (centres[:, :1] - taps * stretch + 0.5).floor() + window  # [B, K]
        x = (seen[:, None] - centres[:, :, None] + 0.5).abs() * (1 / stretch)
        last = (places[:1] * 0 + axis.count - 1).float()
        inside = (seen + 1).clamp(0.0, 1.0) * (last - seen + 1).clamp(0.0, 1.0)
        made = self._filter(x) * inside[:, None]
        places = torch.minimum(seen.clamp(min=0.0), last).long()
        return places, made / made.sum(2, keepdim=True)

    def _grid(self, places: Tensor, axis: _Axis) -> tuple[Tensor, Tensor]:
        """Where the result's places lie in the picture, float32 of their shape, and the picture's pixels per place."""
        length = places[:1] * 0 + axis.length  # [1]
        if not self.resampled:  # rounded as PyTorch rounds
            scale = length.float() / self.size
            return scale * (places.float() + 0.5), scale
        # Sizes are divided as integers: OpenVINO multiplies floats by the inverse, so that 256 becomes 255.99998.
        target: Any = axis.length * self.resized // axis.shortest
        left: Any = target - self.size
        margin = (left + left // 2 % 2) // 2  # the half, rounded to an even number as torchvision does
        start = places[:1] * 0 + ((2 * margin + 1) * axis.length - 2 * target * axis.first)
        targets = (places[:1] * 0 + target).float()
        return (places * (2 * length) + start).float() / (2 * targets), length.float() / targets

    def _filter(self, x: Tensor) -> Tensor:
        if not self.cubic:
            return (1 - x).clamp(min=0.0)
        near, far = x.clamp(0.0, 1.0), x.clamp(1.0, 2.0)  # Keys' kernel, a = -0.5; both parts are 0 at 1
        return (1.5 * near - 2.5) * near * near + 1 + ((-0.5 * far + 2.5) * far - 4) * far + 2


@dataclass(frozen=True, slots=True)
class _Axis:
    """What is shown of an axis: `count` pixels from `start`.

    Attributes:
        length: of what is resized.
        first: the place of `start` in it.
        shortest: the length that is resized to `Preprocess.resized`, and `length` in the same ratio.
    """

    start: int
    count: int
    length: int
    first: int
    shortest: int
