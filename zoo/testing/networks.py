"""Networks with random weights whose answers differ from picture to picture, and small real pictures."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS, LEARNING_RATE, LARGEST_NORM = 2, 0.1, 1.0
NORM_WEIGHT, NORM_BIAS = 0.25, 0.25
SEED = 0


def sample_pictures(count: int = 12) -> list[np.ndarray]:
    """Pictures with shapes and shades, uint8 `[H, W, 3]`, of several sizes. They are always the same."""
    rng = np.random.default_rng(SEED)
    sizes = ((48, 64), (64, 48), (40, 40), (97, 61))
    return [_picture(rng, *sizes[number % len(sizes)]) for number in range(count)]


def _picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, columns = np.indices((height, width))
    shade = (
        rng.uniform(-1, 1, 3)[:, None, None] * rows / height + rng.uniform(-1, 1, 3)[:, None, None] * columns / width
    )
    centre, radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.1, 0.4)
    disc = np.hypot(rows / height - centre[0], columns / width - centre[1]) < radius
    picture = 128 + 60 * shade + rng.uniform(-100, 100, 3)[:, None, None] * disc + rng.normal(0, 6, shade.shape)
    return np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


@dataclass(frozen=True, slots=True)
class Steps:
    """What happened in a few steps of training: the losses, and the parameters that got no gradient."""

    losses: tuple[float, ...]
    untouched: tuple[str, ...]


def awaken(network: nn.Module, inputs: Tensor, num_classes: int, *, norm_weight: float = NORM_WEIGHT) -> Steps:
    """Trains two steps of SGD from a start at which answers depend on the picture.

    The number of each input is its class, because it does not matter what is learned. BatchNorm starts with small
    weights and with biases of 0.25. With 1 and 0, random layers in a row multiply rounding errors: those of a ResNet152
    reached 6e-4 of the spread of its logits. Its statistics are the mean over the steps: a moving average would still
    hold most of its start, and an MnasNet then gave the same answer for all pictures.

    Args:
        network: float32 `[N, 3, S, S]` in, logits `[N, K]` out. It changes in place, and is in eval mode afterwards.
        inputs: float32 `[N, 3, S, S]`.
        norm_weight: where BatchNorm's weights start.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.constant_(module.weight, norm_weight)
            nn.init.constant_(module.bias, NORM_BIAS)
            module.reset_running_stats()
            module.momentum = None
    labels = torch.arange(len(inputs)) % num_classes
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE)
    losses: list[float] = []
    untouched: tuple[str, ...] = ()
    for _ in range(STEPS):
        loss = F.cross_entropy(network(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_NORM)
        optimizer.step()
        losses.append(float(loss.detach()))
        untouched = tuple(name for name, each in network.named_parameters() if each.grad is None)
        optimizer.zero_grad()
    network.eval()
    return Steps(tuple(losses), untouched)


def rounding(network: nn.Module, inputs: Tensor) -> float:
    """The largest difference of logits between float32 and float64; 0 where the network runs in float32 only.

    Args:
        network: in eval mode.
        inputs: float32 `[N, 3, S, S]`.
    """
    with torch.no_grad():
        logits = network(inputs)
        torch.set_default_dtype(torch.float64)  # some networks make tensors in `forward`
        try:
            exact = copy.deepcopy(network).double()(inputs.double())
        except Exception:  # a network that names its own types raises anything
            return 0.0
        finally:
            torch.set_default_dtype(torch.float32)
    return float((exact - logits).abs().max())


def spread(logits: Tensor) -> float:
    """How much logits `[N, K]` differ between pictures: the root of the mean variance over pictures."""
    return float(logits.double().var(dim=0, correction=0).mean().sqrt())
