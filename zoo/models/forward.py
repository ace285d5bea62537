"""Runs a network once over noise, before any work depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zoo.registry.loading import a_thing

PICTURES = 2
SUM_ERROR = 1e-4  # of a softmax in float16, over a thousand classes


@contextmanager
def as_it_was(network: nn.Module) -> Iterator[None]:
    """Puts back the modes, buffers and random numbers that running a network changes."""
    modes = {module: module.training for module in network.modules()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers() if not is_lazy(buffer)}
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for name, buffer in network.named_buffers():
            if name in buffers and buffer.shape == buffers[name].shape:
                buffer.data.copy_(buffers[name])


def noise(size: int) -> Tensor:
    """Two pictures, always the same, float32 `[2, 3, S, S]`."""
    return torch.randn(PICTURES, 3, size, size, generator=torch.Generator().manual_seed(0))


def forward_fault(network: nn.Module, image_size: int, num_classes: int) -> str | None:
    """What is wrong with the answer of a network to noise, as a sentence; None if it gives logits.

    The network runs in eval mode, on the device and in the type of its first parameter. Its modes are put back, and the
    global random state stays as it was.

    Args:
        network: takes float `[N, 3, S, S]`, returns logits `[N, K]`.
        image_size: S.
        num_classes: K.
    """
    first = next((parameter for parameter in network.parameters() if parameter.is_floating_point()), torch.empty(0))
    pictures = noise(image_size)
    try:
        with as_it_was(network), torch.no_grad():
            answer = network.eval()(pictures.to(first))
            return _fault(answer, num_classes)
    except (Exception, SystemExit) as error:
        reason = next(iter(str(error).strip().splitlines()), "no message")
        return f"The network fails on noise of shape {list(pictures.shape)}: {type(error).__name__}: {reason}"


def logits_fault(answer: object, num_classes: int) -> tuple[str, str] | None:
    """Why an answer to `noise` is not logits `[2, K]`: the end of a sentence, and the remedy. None if it is."""
    if not isinstance(answer, Tensor):
        remedy = "Let 'forward' return the logits alone, in training too, for example: return outputs.logits"
        return f"returned {a_thing(answer)}, not a Tensor", remedy
    if list(answer.shape) != [PICTURES, num_classes]:
        found = f"returned the shape {list(answer.shape)} for {PICTURES} pictures and {num_classes} classes"
        return found, f"Let 'forward' return [N, {num_classes}]."
    if not answer.is_floating_point():
        found = f"returned {str(answer.dtype).removeprefix('torch.')} values"
        return found, "Let 'forward' return floating-point logits."
    if not bool(answer.isfinite().all()):
        remedy = "Check its layers and initial weights: logits must be finite."
        return "returned values that are infinite or not a number", remedy
    return None


def _fault(answer: Any, num_classes: int) -> str | None:
    if fault := logits_fault(answer, num_classes):
        return f"The network {fault[0]}."
    logits = answer.double()
    if (logits >= 0).all() and ((logits.sum(dim=1) - 1).abs() < SUM_ERROR).all():
        return "The network returns probabilities instead of logits: its rows are not negative and their sum is 1."
    return None
