"""The frozen part of a network, computed once; the head that is trained on what it computed.

Stored features are standardised for training. A linear layer absorbs an affine map of its input exactly,
so the kept head takes the raw features: W' = W / std, b' = b - W (mean / std).
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import platformdirs
import torch
from torch import Tensor, nn

from zoo.errors import PluginError

SMALLEST_DEVIATION = 0.1  # as a share of the median feature's
SLICE = 2**22  # numbers


def head_layer(head: nn.Module) -> nn.Linear | nn.Conv2d:
    """The one layer with parameters in a head. Raises `PluginError` where there is not exactly one."""
    layers = [module for module in head.modules() if next(module.parameters(recurse=False), None) is not None]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear | nn.Conv2d) or layers[0].bias is None:
        raise PluginError(
            "The backbone's head is not one linear layer or 1x1 convolution with a bias.",
            "Choose --strategy full, or tell the plugin's author.",
        )
    return layers[0]


@dataclass(frozen=True, slots=True)
class Features:
    """What the frozen prefix makes of every picture, computed once.

    Attributes:
        train: float32 `[V, N, ...]`, V augmented views of N training pictures.
        val: float32 `[M, ...]`.
        place: `memory` or `file`.
    """

    train: Tensor
    val: Tensor
    place: str

    @property
    def num_bytes(self) -> int:
        return 4 * (self.train.numel() + self.val.numel())


def allocate(train: tuple[int, ...], val: tuple[int, ...], budget: int) -> Features | None:
    """Room for features of these shapes.

    Args:
        budget: bytes of memory; what needs more goes to a file.

    Returns:
        None where the budget is 0, or the disk has no room or cannot be written.
    """
    if not budget:
        return None
    numbers = math.prod(train) + math.prod(val)
    if 4 * numbers <= budget:
        return Features(torch.empty(train), torch.empty(val), "memory")
    try:
        mapped = torch.from_numpy(_map_file(numbers))  # one file: the disk must have room for both
    except OSError:
        return None
    first, second = mapped.split([math.prod(train), math.prod(val)])  # type: ignore[no-untyped-call]
    return Features(first.view(train), second.view(val), "file")


def _map_file(numbers: int) -> np.ndarray:
    """Float32 in a file of the cache folder. Raises `OSError` where it has no room or cannot be written."""
    cache = platformdirs.user_cache_path("visionzoo", ensure_exists=True)
    if shutil.disk_usage(cache).free < 4 * numbers:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # A file without a name: its pages go back to the disk under memory pressure and vanish with the process.
    with tempfile.TemporaryFile(dir=cache) as file:
        if hasattr(os, "posix_fallocate"):  # otherwise a disk that another process fills ends this one with a signal
            os.posix_fallocate(file.fileno(), 0, 4 * numbers)
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(numbers,))


def compute(
    prefix: Callable[[Tensor], Tensor], parts: Iterable[Tensor], out: Tensor, advance: Callable[[int], None]
) -> None:
    """Fills `out`, float32 `[N, ...]`, with what `prefix` makes of the N pictures at the indices in `parts`."""
    with torch.inference_mode():
        for indices in parts:
            out[indices[0] : indices[-1] + 1].copy_(prefix(indices))
            advance(len(indices))


def standardisation(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per feature, each `[F]`; a constant feature has the deviation 1.

    The parts, `[n, F, ...]`, are seen once, one at a time: features can be larger than memory.
    Chan, Golub and LeVeque, http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        flat = part.detach().cpu().transpose(0, 1).flatten(1).double()  # [F, n * h * w]
        own, centre = flat.shape[1], flat.mean(1)
        total = count + own
        squares = squares + flat.sub_(centre[:, None]).square_().sum(1) + (centre - mean) ** 2 * (count * own / total)
        mean = mean + (centre - mean) * (own / total)
        count = total
    std = (squares / count).sqrt()
    # Below this a deviation is the rounding of float32 features, not a signal.
    noise = torch.finfo(torch.float32).eps * mean.abs()
    # A feature that hardly varies would get a weight that answers wildly once the layers before it train.
    floor = SMALLEST_DEVIATION * std.median()
    std = torch.where(std > noise, std.clamp(min=floor), 1.0)
    return mean.float(), std.float()


def slices(features: Tensor) -> Iterable[Tensor]:
    """Features `[N, F, ...]` in parts of a size that may be copied."""
    parts: tuple[Tensor, ...] = torch.split(features, max(1, SLICE // features[0].numel()))
    return parts


def standardise(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Takes and returns `[N, F, ...]`; works in place."""
    shape = (1, -1, *[1] * (features.ndim - 2))
    return features.sub_(mean.to(features.device).view(shape)).div_(std.to(features.device).view(shape))


@torch.no_grad()
def unfold(head: nn.Module, mean: Tensor, std: Tensor) -> None:
    """Makes a head that takes raw features take standardised ones, in place: the inverse of `fold`."""
    layer = head_layer(head)
    weight = layer.weight.double()
    shape = (1, -1, *[1] * (weight.ndim - 2))
    shift = (weight * mean.double().view(shape)).flatten(1).sum(1)
    assert layer.bias is not None
    layer.bias.copy_((layer.bias.double() + shift).to(layer.bias.dtype))
    layer.weight.copy_((weight * std.double().view(shape)).to(layer.weight.dtype))


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
