"""A format that is looked at, and the network that it writes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.models.classifier import Classifier
from zoo.specs import ExporterSpec, LoadOptions, PreprocessSpec, Runtime
from zoo.testing.networks import SEED, awaken, sample_pictures, spread
from zoo.testing.rules import broken

CLASSES = ("ä", "b", "c", "d")
IMAGE_SIZE = 24  # pixels
SHAPES = ((1, 1, 1), (1, 17, 301), (3, 24, 24), (2, 301, 17), (1, 5, 4))  # pictures, rows, columns


def example_classifier(places: int = 3) -> Classifier:
    """A small trained network with convolution, BatchNorm and a crop, always the same.

    Args:
        places: along each side of its last feature maps. With 1, it has class activation maps.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(places),
            nn.Flatten(),
            nn.Linear(8 * places**2, len(CLASSES)),
        )
        spec = PreprocessSpec(image_size=IMAGE_SIZE, crop_fraction=0.875)
        classifier = Classifier(network, CLASSES, spec, check=False)
        with torch.no_grad():
            inputs = torch.cat([classifier.preprocess(torch.from_numpy(each[None])) for each in sample_pictures()])
        awaken(network, inputs, len(CLASSES))
    return classifier.eval()


@dataclass(eq=False)
class ExporterCase:
    """A format that is looked at, with a file of a small classifier."""

    spec: ExporterSpec
    folder: Path
    classifier: Classifier = field(default_factory=example_classifier)

    @property
    def file(self) -> Path:
        return self.folder / f"model{self.spec.suffix}"

    def load(self, path: Path, *, optimised: bool = True) -> Runtime:
        return self.spec.load(path, LoadOptions(threads=1, spinning=False, optimised=optimised))

    def copy(self, name: str) -> Path:
        """A copy of the file without a card."""
        return Path(shutil.copy(self.file, self.folder / f"{name}{self.spec.suffix}"))


def compare(case: ExporterCase, runtime: Runtime, takes: str, tolerance: float, owner: str) -> None:
    rng = np.random.default_rng(SEED)
    scale = spread(logits_of(case.classifier, sample_pictures()))
    for shape in SHAPES:
        images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        wanted = logits_of(case.classifier, images)
        with torch.inference_mode():
            fed = case.classifier.preprocess(torch.from_numpy(images)).numpy() if takes == "tensor" else images
        fed.flags.writeable = False
        found: Any = runtime(fed)  # other people's code
        words = f"{owner} {shape[0]} of {shape[1]} x {shape[2]} pixels"
        if not isinstance(found, np.ndarray) or found.dtype != np.float32 or found.shape != tuple(wanted.shape):
            got = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else str(type(found))
            raise broken(
                f"{words} get {got} instead of float32 {list(wanted.shape)}.",
                "Let the runtime return one row of float32 logits for each picture.",
            )
        apart = float((torch.from_numpy(found.copy()) - wanted).abs().max()) / scale
        if not apart <= tolerance:
            raise broken(
                f"{words} get logits that differ from the network's by {apart:.2g} of their spread; "
                f"the tolerance is {tolerance:g}.",
                "Compute what classifier(images) computes, with its preprocessing for pictures of any size.",
            )


def logits_of(classifier: Classifier, pictures: list[np.ndarray] | np.ndarray) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([classifier(torch.from_numpy(each[None].copy())) for each in pictures])


def fed_to(case: ExporterCase, images: np.ndarray) -> np.ndarray:
    if case.spec.inputs[0] == "pixels":
        return images
    with torch.inference_mode():
        return np.asarray(case.classifier.preprocess(torch.from_numpy(images)).numpy())
