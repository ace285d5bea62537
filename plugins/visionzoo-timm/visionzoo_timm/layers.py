"""Classifiers in other forms."""

from __future__ import annotations

from torch import Tensor, nn


class FlatConv2d(nn.Conv2d):
    """A 1x1 convolution that returns logits `[N, K]`: timm flattens after its classifier, outside the module.

    Args:
        conv: for `[N, C, 1, 1]`. Its parameters are shared, and keep their names and shapes.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels, 1, bias=conv.bias is not None, device="meta")
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Takes `[N, C, 1, 1]`; returns `[N, K]`."""
        return super().forward(input).flatten(1)


class Twin(nn.Module):
    """Answers as another module, and has no parameters of its own."""

    other: nn.Module

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "other", other)  # not a child: its parameters have one name

    def forward(self, features: Tensor) -> Tensor:
        """Takes `[N, C]`; returns `[N, K]`."""
        logits: Tensor = self.other(features)
        return logits
