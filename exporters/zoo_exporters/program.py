"""What ships in every format: pixels in, logits and probabilities out."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import torch
from torch import Tensor, nn

EXAMPLE_SHAPE = (2, 40, 56, 3)  # neither 0 nor 1, which torch.export would take for constants


class Program(nn.Module):
    """A classifier with its probabilities.

    Args:
        preprocess: uint8 `[N, H, W, 3]` in, float32 `[N, 3, S, S]` out.
        network: float32 `[N, 3, S, S]` in, logits `[N, K]` out.
    """

    def __init__(self, preprocess: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Takes uint8 `[N, H, W, 3]` of any size; returns logits and probabilities, float32 `[N, K]` each."""
        logits = self.network(self.preprocess(image))
        return logits, torch.softmax(logits, 1)


def program(classifier: nn.Module) -> Program:
    """A copy of a `zoo.classifier.Classifier` that ships: fp32, on the CPU, in eval mode."""
    own = copy.deepcopy(classifier).cpu().float().eval().requires_grad_(False)
    return Program(own.get_submodule("preprocess"), own.get_submodule("network"))


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what torch and its exporters say to their developers; errors still raise."""
    # torch._logging gives its loggers levels of their own: only the global switch reaches them all.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # torch.export prints the graph it had come to when it fails.
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
