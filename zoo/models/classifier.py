"""Preprocessing and network in one module, which is evaluated and exported."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess


class Classifier(nn.Module):
    """From uint8 pixels to logits. The exported classifier is the one that was evaluated.

    Args:
        spec: the preprocessing.
        network: float32 `[N, 3, S, S]` in, logits `[N, K]` out.
        classes: the K names, in the order of the logits.
    """

    def __init__(self, spec: PreprocessSpec, network: nn.Module, classes: Sequence[str]) -> None:
        super().__init__()
        self.spec = spec
        self.classes = tuple(classes)
        self.preprocess = Preprocess(spec)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 `[N, H, W, 3]` of any size; returns logits `[N, K]`."""
        logits: Tensor = self.network(self.preprocess(images))
        return logits
