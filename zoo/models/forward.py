"""Runs a network once over noise, before any work depends on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PICTURES = 2
SUM_ERROR = 1e-4  # of a softmax in float16, over a thousand classes


def forward_fault(network: nn.Module, image_size: int, num_classes: int) -> str | None:
    """What is wrong with the answer of a network to noise, as a sentence; None if it gives logits.

    The network runs in eval mode, on the device and in the type of its first parameter. Its modes are put back, and the
    global random state stays as it was.

    Args:
        network: takes float `[N, 3, S, S]`, returns logits `[N, K]`.
        image_size: S.
        num_classes: K.
    """
    modes = {module: module.training for module in network.modules()}
    first = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), torch.empty(0))
    noise = torch.randn(PICTURES, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    try:
        network.eval()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            answer = network(noise.to(first))
            return _fault(answer, num_classes)
    except (Exception, SystemExit) as error:
        reason = next(iter(str(error).strip().splitlines()), "no message")
        return f"The network fails on noise of shape {list(noise.shape)}: {type(error).__name__}: {reason}"
    finally:
        for module, training in modes.items():
            module.training = training


def _fault(answer: Any, num_classes: int) -> str | None:
    if not isinstance(answer, Tensor):
        return f"The network returns an object of type {type(answer).__name__} instead of a tensor with logits."
    expected = [PICTURES, num_classes]
    if list(answer.shape) != expected:
        return (
            f"The network returns shape {list(answer.shape)} for {PICTURES} pictures and {num_classes} classes "
            f"instead of {expected}."
        )
    if not answer.is_floating_point():
        return f"The network returns {str(answer.dtype).removeprefix('torch.')} instead of floating-point logits."
    logits = answer.double()
    if not logits.isfinite().all():
        return "The network's logits of noise are not finite numbers."
    if (logits >= 0).all() and ((logits.sum(dim=1) - 1).abs() < SUM_ERROR).all():
        return "The network returns probabilities instead of logits: its rows are not negative and their sum is 1."
    return None
