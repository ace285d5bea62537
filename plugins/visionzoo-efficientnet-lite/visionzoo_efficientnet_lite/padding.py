"""TensorFlow's SAME padding for input of any size.

With an odd kernel k, stride 1 pads (k - 1) / 2 on both sides. Stride 2 pads (k - 1) / 2 after the picture. Before it,
stride 2 pads the same for an odd side, and one less for an even side:
https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

HALVING = 2


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 whose output has ceil(side / 2) pixels a side.

    It uses arithmetic and no branches, so that torch.fx, torch.jit.trace and torch.export can trace it.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Takes `[N, C, H, W]`; returns `[N, D, ceil(H / 2), ceil(W / 2)]`."""
        behind = self.kernel_size[0] // 2
        rows, columns = input.shape[2] % 2, input.shape[3] % 2
        padded = F.pad(input, [behind - 1 + columns, behind, behind - 1 + rows, behind])
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def same_conv2d(conv: nn.Conv2d) -> nn.Conv2d:
    """Returns the same convolution with shared parameters, padded like TensorFlow's at any size."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    if kernel % 2 == 0 or stride > HALVING or conv.padding not in (0, (0, 0)):
        raise ValueError(f"no SAME padding for kernel {kernel}, stride {stride}, padding {conv.padding}")
    kind, padding = (SameConv2d, 0) if stride == HALVING else (nn.Conv2d, kernel // 2)
    same = kind(
        conv.in_channels,
        conv.out_channels,
        kernel,
        stride,
        padding,
        groups=conv.groups,
        bias=conv.bias is not None,
        device="meta",
    )
    same.weight, same.bias = conv.weight, conv.bias
    return same
