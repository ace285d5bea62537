"""Convolutions on tiny feature maps, without the taps that see only padding.

ResNet18 on 28 pixels ends in maps of 1 x 1. There, eight of nine taps of a 3 x 3 kernel multiply zeros. Without these
taps the results and the gradients are the same (their gradient is zero), and the layers are much faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Taps = tuple[slice, slice]


@contextmanager
def trimmed(network: nn.Module, example: Tensor) -> Iterator[None]:
    """While the context is open, the network's convolutions skip useless taps.

    Args:
        example: one input, float32 `[1, 3, S, S]`; all inputs must be of this size.
    """
    layers: list[nn.Conv2d] = []
    for layer, (height, width) in _input_sizes(network, example).items():
        taps = (_useful(layer, 0, height), _useful(layer, 1, width))
        if layer.weight[:, :, taps[0], taps[1]].shape != layer.weight.shape:
            layers.append(layer)
            layer._conv_forward = _Trimmed(layer, taps)  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in layers:
            del layer._conv_forward


class _Trimmed:
    """Replaces `nn.Conv2d._conv_forward`."""

    def __init__(self, layer: nn.Conv2d, taps: Taps) -> None:
        self.layer, self.taps = layer, taps
        first, second = (int(side) for side in layer.padding)
        self.padding = (max(0, first - taps[0].start), max(0, second - taps[1].start))

    def __call__(self, pixels: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        kept = weight[:, :, self.taps[0], self.taps[1]]
        return F.conv2d(pixels, kept, bias, layer.stride, self.padding, layer.dilation, layer.groups)


def _input_sizes(network: nn.Module, example: Tensor) -> dict[nn.Conv2d, tuple[int, int]]:
    """The input size of each convolution. Convolutions with inputs of several sizes are left out."""
    seen: dict[nn.Conv2d, set[tuple[int, int]]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda layer, inputs: seen.setdefault(layer, set()).add(tuple(inputs[0].shape[-2:]))
        )
        for module in network.modules()
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    ]
    was_training = network.training
    network.eval()
    with torch.no_grad():
        network(example)
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return {layer: next(iter(sizes)) for layer, sizes in seen.items() if len(sizes) == 1}


def _useful(layer: nn.Conv2d, axis: int, size: int) -> slice:
    """The taps along an axis that see the map at least once, or all taps if trimming would move the output."""
    kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
    padding = int(layer.padding[axis])
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    places = [[o * stride + tap * dilation - padding for o in range(outputs)] for tap in range(kernel)]
    useful = [tap for tap in range(kernel) if any(0 <= place < size for place in places[tap])]
    first, last = useful[0], useful[-1]
    kept = (size + 2 * max(0, padding - first) - dilation * (last - first) - 1) // stride + 1
    exact = dilation == 1 and kept == outputs and first <= padding
    return slice(first, last + 1) if exact else slice(0, kernel)
