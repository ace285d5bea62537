"""Networks that were trained on blue, green and red, made to take red, green and blue, without any other change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import WeightsError

if TYPE_CHECKING:
    from torch import nn

ROUNDING = 1e-4  # relative: the sums over the channels change their order


def swap_channels(network: nn.Module, image_size: int) -> None:
    """Lets a network answer to pictures as it did to the same pictures with swapped red and blue, in place.

    The input weights of its first convolutions are permuted. Whether the result is the same network is then checked on
    noise.

    Args:
        network: float32 `[N, 3, S, S]` in, logits `[N, K]` out, on the CPU.
        image_size: S.

    Raises:
        WeightsError: the pictures enter the network in another way than through convolutions.
    """
    import torch

    from zoo.models.forward import noise

    pictures = noise(image_size)
    training = network.training
    network.eval()
    with torch.inference_mode():
        before = network(pictures.flip(1))
    first = _first_convolutions(network, pictures)
    with torch.no_grad():
        for module in first:
            module.weight.copy_(module.weight.flip(1))
        after = network(pictures)
    network.train(training)
    if not first or not torch.allclose(before, after, rtol=0, atol=ROUNDING * float(before.abs().max())):
        raise WeightsError(
            "The channels of this network cannot be swapped: its pictures do not enter through a convolution alone.",
            "Swap red and blue in the pictures of its training and train again, or leave out --channels.",
            code="channels-not-swappable",
        )


def _first_convolutions(network: nn.Module, pictures: Any) -> list[nn.Conv2d]:
    """The convolutions that take the network's input as it is."""
    import torch
    from torch import nn

    found: list[nn.Conv2d] = []

    def look(module: Any, inputs: tuple[Any, ...]) -> None:
        taken = inputs[0]
        own = isinstance(module, nn.Conv2d) and module.groups == 1 and taken.shape == pictures.shape
        if own and torch.equal(taken, pictures) and module not in found:
            found.append(module)

    handles = [module.register_forward_pre_hook(look) for module in network.modules() if isinstance(module, nn.Conv2d)]
    try:
        with torch.inference_mode():
            network(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return found
