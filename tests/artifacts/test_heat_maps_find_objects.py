"""The hottest cell of a heat map lies on the object, with a network that found it, and not with random weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from zoo.artifacts.predictor import Predictor
from zoo.models.class_maps import ClassMaps
from zoo.models.classifier import Classifier
from zoo.specs import PreprocessSpec

SIZE, OBJECT, CLASSES = 48, 12, ("disc", "cross", "stripes")  # the object has a sixteenth of the area
SPEC = PreprocessSpec(image_size=SIZE)


def objects() -> np.ndarray:
    """Masks `[3, 12, 12]`."""
    y, x = np.mgrid[:OBJECT, :OBJECT] - (OBJECT - 1) / 2
    return np.stack([y**2 + x**2 < 30, (abs(y) < 2) | (abs(x) < 2), np.mgrid[:OBJECT, :OBJECT][0] % 4 < 2])


def pasted(number: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of noise and one object, their labels, and the objects' corners (row, column)."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 120, (number, SIZE, SIZE, 3), np.uint8)
    labels = random.integers(0, len(CLASSES), number)
    corners = random.integers(0, SIZE - OBJECT + 1, (number, 2))
    for picture, label, (row, column) in zip(pictures, labels, corners, strict=True):
        picture[row : row + OBJECT, column : column + OBJECT][objects()[label]] = 235
    return pictures, labels, corners


def built() -> Classifier:
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, len(CLASSES))]
    return Classifier(nn.Sequential(*layers), CLASSES, SPEC)


@pytest.fixture(scope="module")
def trained_on_objects() -> Classifier:
    made = built()
    network = made.network.train()
    pictures, labels, _ = pasted(960, seed=1)
    inputs, wanted = made.preprocess(torch.from_numpy(pictures)), torch.from_numpy(labels)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(10):
        for batch in torch.randperm(len(inputs)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), wanted[batch]).backward()
            optimiser.step()
    return made.eval()


class Runtime:
    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.of_last_call = ClassMaps(classifier.network, torch.zeros(1, 3, SIZE, SIZE))

    def __call__(self, images):
        with torch.no_grad():
            return self.classifier(torch.from_numpy(np.ascontiguousarray(images))).numpy()

    def maps(self, images):
        self(images)
        return self.of_last_call().detach().numpy()


def share_found(classifier: Classifier, method: str) -> float:
    """The share of the pictures whose hottest cell is on the object or beside it; of those that it got right."""
    card = SimpleNamespace(preprocess=SPEC, precision="fp32", classes=CLASSES, exported={"heatmap": method == "maps"})
    predictor = Predictor(card, Runtime(classifier))
    found = []
    for picture, label, corner in zip(*pasted(60, seed=2), strict=True):
        heat = predictor.heat_map(picture)
        assert heat.method == method
        if heat.label == CLASSES[label]:
            cell = SIZE / len(heat.values)
            place = np.array(np.unravel_index(heat.values.argmax(), heat.values.shape)) * cell
            found.append(bool((place + 2 * cell > corner).all() and (place - cell < corner + OBJECT).all()))
    assert len(found) > 10
    return float(np.mean(found))


@pytest.mark.parametrize("method", ["occlusion", "maps"])
def test_nine_of_ten_objects_are_found(method, trained_on_objects):
    assert share_found(trained_on_objects, method) >= 0.9


@pytest.mark.parametrize("method", ["occlusion", "maps"])
def test_random_weights_find_few(method):
    assert share_found(built(), method) < 0.6
