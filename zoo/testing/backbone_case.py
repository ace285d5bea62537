"""A backbone that is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from zoo.models.classifier import Classifier
from zoo.registry import Registered
from zoo.specs import BackboneSpec, PreprocessSpec, Stage
from zoo.testing.networks import Steps, sample_pictures

CLASSES = ("one", "two", "three", "four", "five")
IMAGE_SIZE = 64  # pixels, where the network allows it
TRAINING_PICTURES = 10
ROUNDING = 1e-3  # of the spread of the logits; another batch size adds in another order


@dataclass(eq=False)
class BackboneCase:
    """A backbone that is looked at: it is built once, with a fixed seed, and trained for two steps."""

    spec: BackboneSpec
    network: nn.Module | None = None
    stages: tuple[Stage, ...] = ()
    steps: Steps | None = None

    @property
    def entry(self) -> Registered[BackboneSpec]:
        origin = "the plugin"
        return Registered("backbone", self.spec.name, origin, origin, "", False, lambda: self.spec)

    @property
    def size(self) -> int:
        least = self.spec.min_image_size
        return least if self.spec.fixed_image_size else max(least, IMAGE_SIZE)

    @property
    def built(self) -> nn.Module:
        assert self.network is not None
        return self.network

    @cached_property
    def inputs(self) -> Tensor:
        """What the network sees of the sample pictures, float32 `[N, 3, S, S]`."""
        prepare = Classifier(nn.Identity(), CLASSES, PreprocessSpec(image_size=self.size), check=False).preprocess
        with torch.no_grad():
            pictures = [torch.from_numpy(picture[None]) for picture in sample_pictures(TRAINING_PICTURES)]
            return torch.cat([prepare(picture) for picture in pictures])

    def answer(self, inputs: Tensor) -> Tensor:
        """Logits `[N, K]`, in eval mode."""
        with torch.no_grad():
            logits: Tensor = self.built.eval()(inputs)
        return logits
