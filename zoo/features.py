"""The frozen part of a network, computed once; the head that is trained on what it computed.

Stored features are standardised for training. A linear layer absorbs an affine map of its input exactly,
so the kept head takes the raw features: W' = W / std, b' = b - W (mean / std).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from zoo.errors import PluginError


def head_layer(head: nn.Module) -> nn.Linear | nn.Conv2d:
    """The one layer with parameters in a head. Raises `PluginError` where there is not exactly one."""
    layers = [module for module in head.modules() if next(module.parameters(recurse=False), None) is not None]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear | nn.Conv2d) or layers[0].bias is None:
        raise PluginError(
            "The backbone's head is not one linear layer or 1x1 convolution with a bias.",
            "Choose --strategy full, or tell the plugin's author.",
        )
    return layers[0]


def compute_features(
    network: nn.Module,
    head: nn.Module,
    batches: Iterable[Tensor],
    advance: Callable[[int], None],
) -> Tensor:
    """Runs the network once over all pictures and keeps what enters its head.

    Args:
        network: in eval mode.
        head: the module in it whose input is wanted.
        batches: preprocessed pictures, float32 `[n, 3, S, S]`.
        advance: called with each batch's n.

    Returns:
        float32 `[N, F]`, or `[N, F, h, w]` for a convolutional head, on the pictures' device.
    """
    caught: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float()))
    try:
        with torch.inference_mode():
            for batch in batches:
                network(batch)
                advance(len(batch))
    finally:
        hook.remove()
    # Outside inference mode, so that the result can take part in a backward pass.
    return torch.cat(caught)


def standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per feature, each `[F]`; a constant feature has the deviation 1."""
    flat = features.transpose(0, 1).flatten(1).double()  # [F, N * h * w]
    mean, std = flat.mean(1), flat.std(1, correction=0)
    # Below this a deviation is the rounding of float32 features, not a signal.
    noise = torch.finfo(torch.float32).eps * mean.abs()
    return mean.float(), torch.where(std > noise, std, 1.0).float()


def standardise(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Takes and returns `[N, F, ...]`; works in place."""
    shape = (1, -1, *[1] * (features.ndim - 2))
    return features.sub_(mean.view(shape)).div_(std.view(shape))


@torch.no_grad()
def fold(head: nn.Module, mean: Tensor, std: Tensor) -> None:
    """Makes a head trained on standardised features take raw ones, in place."""
    layer = head_layer(head)
    weight = layer.weight.double()
    shape = (1, -1, *[1] * (weight.ndim - 2))
    scaled = weight / std.double().view(shape)
    shift = (scaled * mean.double().view(shape)).flatten(1).sum(1)
    assert layer.bias is not None
    layer.bias.copy_((layer.bias.double() - shift).to(layer.bias.dtype))
    layer.weight.copy_(scaled.to(weight.dtype))
