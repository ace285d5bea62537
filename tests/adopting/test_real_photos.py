"""Ants and bees: an adopted network against plain PyTorch with torchvision's own transforms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import transforms
from torchvision.datasets import ImageFolder

import zoo
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD

from .fine import OPTIONS, by_answers, fine_network

BATCH = 32
NEAR = 0.05  # between the two logits: what another rounding of pixels moves

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ZOO_DATA_ROOT" not in os.environ, reason="ZOO_DATA_ROOT names no folder of real photos"),
]


@pytest.fixture(scope="module")
def photos():
    return Path(os.environ["ZOO_DATA_ROOT"]) / "hymenoptera_data"


@pytest.fixture(scope="module")
def plain(photos, tmp_path_factory):
    """A head on published weights, fitted and evaluated by plain PyTorch: its file, and its logits by picture."""
    spec = registry().backbone("efficientnet_lite0").spec
    network = spec.build(2).eval()
    state = {name: value for name, value in spec.weights.load().items() if not name.startswith(f"{spec.head}.")}
    network.load_state_dict(state, strict=False)
    look = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(spec.weights.mean, spec.weights.std),
        ]
    )
    head = network.get_submodule(spec.head)
    taken = []
    handle = head.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    train, val = (ImageFolder(photos / name, look) for name in ("train", "val"))
    features = [run(network, dataset, taken) for dataset in (train, val)]
    handle.remove()
    fit(head, features[0], torch.tensor(train.targets))
    path = tmp_path_factory.mktemp("plain") / "checkpoint.pth"
    torch.save(
        {"epoch": 1, "state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}, path
    )
    with torch.inference_mode():
        logits = head(features[1]).numpy()
    return path, {name: (row, label) for (name, label), row in zip(val.samples, logits, strict=True)}


def run(network, dataset, taken):
    """What enters the head, `[N, F]`."""
    taken.clear()
    with torch.inference_mode():
        for pictures, _ in torch.utils.data.DataLoader(dataset, BATCH):
            network(pictures)
    return torch.cat(taken).flatten(1)


def fit(head, features, labels):
    layer = next(module for module in head.modules() if isinstance(module, torch.nn.Linear))
    wanted = torch.nn.functional.one_hot(labels, 2).float() - 0.5
    centred = features.clone() - features.mean(0)
    weight = torch.linalg.solve(centred.T @ centred + 50 * torch.eye(features.shape[1]), centred.T @ wanted)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(wanted.mean(0) - features.mean(0) @ weight)


@pytest.fixture(scope="module")
def adopted(plain, photos, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "bees"
    return zoo.adopt("efficientnet_lite0", plain[0], photos / "train", data=photos, output=output)


def test_the_accuracy_is_that_of_torchvision_s_own_transforms(plain, adopted):
    """Pillow rounds the resized pixels to 8 bits, and cuts at whole pixels of the resized picture."""
    from zoo.evaluation.evaluation import answers, classifier_stream
    from zoo.evaluation.pictures import split_of_run

    run = Run(adopted.path)
    name, split = split_of_run(run)
    logits, indices, unreadable = answers(
        classifier_stream(run.classifier(), torch.device("cpu")), split, 2, lambda _: None
    )
    assert (name, len(indices), unreadable) == ("validation", 153, ())
    own = {split.pictures.name(index): row for index, row in zip(indices.tolist(), logits, strict=True)}
    assert {Path(file).name for file in own} == {Path(file).name for file in plain[1]}
    theirs = {Path(file).name: row for file, row in plain[1].items()}
    differing = []
    for file, row in own.items():
        other, label = theirs[Path(file).name]
        assert label == ("ants", "bees").index(Path(file).parent.name)
        if row.argmax() != other.argmax():
            differing.append((file, float(np.ptp(row)), float(np.ptp(other))))
    assert all(min(gaps) < NEAR for _, *gaps in differing), differing
    top1 = np.mean([row.argmax() == label for row, label in plain[1].values()])
    print(f"plain {top1:.4f}, adopted {run.metrics['top1']:.4f}, differing {differing}")
    assert abs(run.metrics["top1"] - top1) <= len(differing) / 153 + 1e-9
    assert top1 > 0.9


def test_swapped_classes_are_named(plain, photos, tmp_path):
    run = zoo.adopt("efficientnet_lite0", plain[0], ["bees", "ants"], data=photos, output=tmp_path / "run")
    assert run.info.dataset.notes[-1].startswith("With --classes ants,bees, ")


def test_a_wrong_normalisation_is_named(plain, photos, tmp_path):
    """Pixels of 0..255 where the network wants -1..1."""
    run = zoo.adopt(
        "efficientnet_lite0", plain[0], ["ants", "bees"], data=photos, output=tmp_path / "run", mean=0, std=1 / 255
    )
    found = run.info.dataset.notes[-1]
    assert found.startswith(("With --mean 0.5 --std 0.5", "With --mean 0.485,0.456,0.406")), found


@pytest.mark.parametrize(
    ("filtered", "given", "options"),
    [
        ("bilinear", {}, "--resize shorter --crop-fraction 0.875"),
        ("bilinear", {"resize": "squash"}, "--resize shorter --crop-fraction 0.875"),
        ("bicubic", {}, "--resize shorter --crop-fraction 0.875 --interpolation bicubic"),
        ("bicubic", {"resize": "squash"}, "--resize shorter --crop-fraction 0.875 --interpolation bicubic"),
    ],
)
def test_another_resize_is_named(photos, tmp_path, filtered, given, options):
    """Of a network that sees single pixels: one that is used to photos takes any of these resizes."""
    look = transforms.Compose(
        [
            transforms.Resize(256, transforms.InterpolationMode(filtered)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    files = sorted(photos.glob("*/*/*.jpg"))
    seen = by_answers(fine_network(tmp_path, 224), look, files, tmp_path)
    run = zoo.adopt("fine", tmp_path / "w.pt", data=seen, output=tmp_path / "run", diagnose=True, **OPTIONS, **given)
    print(f"{filtered}, given {given}: {run.metrics['top1']:.4f}, {run.info.dataset.notes[-1]}")
    assert run.info.dataset.notes[-1].startswith(f"With {options}, ")
