"""Which wrong option an accuracy is blamed on: networks of plain PyTorch, adopted with one mistake each."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

import zoo
from zoo.adopting.mistakes import is_chance, other_values, tail
from zoo.errors import WeightsError
from zoo.models.channels import swap_channels
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec

from ..networks import Small, Tokens
from ..refusals import refused
from .fine import OPTIONS, by_answers, fine_network

CLASSES = ("blue", "bright", "warm")
SIZE = 16


def colours(count, seed):
    """Pictures of one colour each, uint8 `[N, S, S, 3]`, and labels. With swapped channels, half of `warm` is `blue`:
    no other order of the classes explains that."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pictures = rng.integers(60, 130, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for index, label in enumerate(labels):
        pictures[index][:, :, ([2], [0, 1, 2], [index % 2])[label]] += 80
    return pictures, labels


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    for number, (picture, label) in enumerate(zip(*colours(60, 1), strict=True)):
        (folder / CLASSES[label]).mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / CLASSES[label] / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def learned(tiny_plugin):
    """Makes the weights of a training by hand, on pictures that one function normalises."""
    from zoo.registry import registry

    def learn(path, normalise):
        torch.manual_seed(0)
        network = registry().backbone("tiny").spec.build(3)
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        pictures, labels = colours(96, 0)
        inputs = normalise(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())
        for _ in range(40):
            loss = F.cross_entropy(network(inputs), torch.from_numpy(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss < 0.05
        torch.save(network.state_dict(), path)
        return path

    return learn


def triple(values):
    return torch.tensor(values).view(3, 1, 1)


def imagenet(pixels):
    return (pixels / 255 - triple(IMAGENET_MEAN)) / triple(IMAGENET_STD)


AS_TRAINED = {"image_size": SIZE, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def adopt(weights, photos, folder, **options):
    given = {"classes": CLASSES, "data": photos, "output": folder, **AS_TRAINED, **options}
    return zoo.adopt("tiny", weights, **given)


def test_the_right_options_are_blamed_for_nothing(learned, photos, tmp_path):
    weights = learned(tmp_path / "w.pt", imagenet)
    run = adopt(weights, photos, tmp_path / "run", diagnose=True)
    assert run.metrics["top1"] == 1
    assert run.info.dataset.notes[-1].startswith("No usual mistake")
    run = adopt(weights, photos, tmp_path / "quick")
    assert not any("mistake" in note for note in run.info.dataset.notes)


def test_swapped_channels_are_named_and_the_option_is_exact(learned, photos, tmp_path):
    weights = learned(tmp_path / "w.pt", lambda pixels: imagenet(pixels.flip(1)))
    run = adopt(weights, photos, tmp_path / "wrong", diagnose=True)
    assert run.info.dataset.notes[-1] == "With --channels bgr, 60 of 60 pictures are right instead of 30."
    run = adopt(weights, photos, tmp_path / "right", channels="bgr")
    assert run.metrics["top1"] == 1
    assert run.preprocess.mean == IMAGENET_MEAN[::-1]
    pictures, _ = colours(12, 5)
    network = zoo.registry.registry().backbone("tiny").spec.build(3).eval()
    network.load_state_dict(torch.load(weights))
    plain = network(imagenet(torch.from_numpy(pictures).permute(0, 3, 1, 2).float().flip(1)))
    torch.testing.assert_close(run.classifier()(torch.from_numpy(pictures)), plain, rtol=1e-4, atol=1e-4)


def test_channels_that_were_not_swapped_are_named(learned, photos, tmp_path):
    run = adopt(learned(tmp_path / "w.pt", imagenet), photos, tmp_path / "run", channels="bgr", diagnose=True)
    assert run.info.dataset.notes[-1].startswith("With --channels rgb, 60 of 60")


@pytest.mark.parametrize(
    ("normalise", "options", "given"),
    [
        (imagenet, "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225", 5),
        (lambda pixels: pixels / 127.5 - 1, "--mean 0.5 --std 0.5", 5),
        (lambda pixels: pixels / 255, "--mean", 20),  # ImageNet's values serve it as well
        (lambda pixels: pixels, "--mean 0 --std 0.00392157", 5),
    ],
)
def test_a_wrong_normalisation_is_named(learned, photos, tmp_path, normalise, options, given):  # noqa: PLR0917
    """The given one makes everything far too dark, so that the network guesses."""
    weights = learned(tmp_path / "w.pt", normalise)
    run = adopt(weights, photos, tmp_path / "run", mean=given, std=1)
    assert "not better than that of guesses" in run.info.dataset.notes[-2]
    found = run.info.dataset.notes[-1]
    assert found.startswith(f"With {options}")
    assert "60 of 60 pictures" in found


@pytest.mark.parametrize("order", [("warm", "bright", "blue"), ("bright", "warm", "blue")])
def test_permuted_classes_are_named(learned, photos, tmp_path, order):
    run = adopt(learned(tmp_path / "w.pt", imagenet), photos, tmp_path / "run", classes=order, diagnose=True)
    assert run.info.dataset.notes[-1].startswith("With --classes blue,bright,warm, 60 of 60")


def test_an_order_that_is_not_sorted_is_found_from_the_answers(learned, photos, tmp_path):
    state = torch.load(learned(tmp_path / "w.pt", imagenet))
    order = [2, 0, 1]
    torch.save(
        {key: value[order] if key.startswith("2.") else value for key, value in state.items()}, tmp_path / "p.pt"
    )
    run = adopt(tmp_path / "p.pt", photos, tmp_path / "run")
    assert run.metrics["top1"] == 0
    assert run.info.dataset.notes[-1] == "With --classes warm,blue,bright, 30 of 30 pictures are right instead of 0."


def test_a_network_that_guesses_is_not_explained(photos, tmp_path, tiny_plugin):
    torch.manual_seed(1)
    torch.save(zoo.registry.registry().backbone("tiny").spec.build(3).state_dict(), tmp_path / "w.pt")
    run = adopt(tmp_path / "w.pt", photos, tmp_path / "run")
    assert "not better than that of guesses" in run.info.dataset.notes[-2]
    assert run.info.dataset.notes[-1].startswith("No usual mistake explains it")


SHORTER = "--resize shorter --crop-fraction 0.875"


@pytest.mark.parametrize(
    ("filtered", "given", "options"),
    [
        ("bilinear", {}, SHORTER),
        ("bilinear", {"crop_fraction": 0.875}, SHORTER),
        ("bicubic", {"resize": "squash"}, f"{SHORTER} --interpolation bicubic"),
        ("bicubic", {"resize": "shorter", "crop_fraction": 0.875}, "--interpolation bicubic"),
    ],
)
def test_another_resize_is_named(tmp_path, filtered, given, options):
    """Of a network that was trained on what torchvision's own transforms make."""
    look = transforms.Compose(
        [
            transforms.Resize(32, transforms.InterpolationMode(filtered)),
            transforms.CenterCrop(28),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{number:03}.png" for number in range(400)]
    for number, file in enumerate(files):
        shape = ((61, 75), (75, 59))[number % 2]
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(file)
    photos = by_answers(fine_network(tmp_path, 28), look, files, tmp_path)
    run = zoo.adopt(
        "fine", tmp_path / "w.pt", data=photos, output=tmp_path / "wrong", diagnose=True, **OPTIONS, **given
    )
    assert run.metrics["top1"] < 0.95
    assert run.info.dataset.notes[-1].startswith(f"With {options}, 192 of 192 pictures"), run.info.dataset.notes
    right = {"resize": "shorter", "crop_fraction": 0.875, "interpolation": filtered}
    run = zoo.adopt("fine", tmp_path / "w.pt", data=photos, output=tmp_path / "run", diagnose=True, **OPTIONS, **right)
    assert run.metrics["top1"] == 1
    assert run.info.dataset.notes[-1].startswith("No usual mistake")


class Counts:
    def __init__(self, counts):
        self.counts = np.array(counts)


@pytest.mark.parametrize(
    ("counts", "chance"),
    [
        ([[20, 0], [0, 20]], False),
        ([[0, 20], [20, 0]], True),
        ([[90, 0], [10, 0]], True),  # the larger class, always
        ([[80, 10], [2, 8]], False),
        ([[11, 9], [9, 11]], True),
        ([[3, 0], [0, 3]], False),  # all right: nothing to explain
    ],
)
def test_chance(counts, chance):
    assert is_chance(Counts(counts)) == chance


def test_tails():
    rng = np.random.default_rng(0)
    for total, p in ((20, 0.5), (100, 0.1), (50, 1 / 3)):
        drawn = rng.binomial(total, p, 200_000)
        rights = range(0, total, 5)
        assert [tail(right, total, p) for right in rights] == pytest.approx(
            [(drawn >= right).mean() for right in rights], abs=0.005
        )
        assert all(a >= b for a, b in pairwise(tail(right, total, p) for right in range(total + 1)))


def test_options_are_in_the_order_of_the_network():
    """With `--channels bgr`, the preprocessing has the reverse of what is given."""
    spec = PreprocessSpec(image_size=8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    found = {options: changed for options, changed, _ in other_values(spec, swapped=True)}
    assert found["--channels rgb"].mean == (0.1, 0.2, 0.3)
    name = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
    assert found[name].mean == IMAGENET_MEAN[::-1]
    assert found[f"{name} --channels rgb"].mean == IMAGENET_MEAN[::-1]


@pytest.mark.parametrize("kind", [Small, Tokens])
def test_swapped_networks_answer_the_same_to_swapped_pictures(kind):
    torch.manual_seed(0)
    network = kind().eval()
    pictures = torch.randn(3, 3, 16, 16)
    before = network(pictures.flip(1))
    swap_channels(network, 16)
    torch.testing.assert_close(network(pictures), before, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(pictures.flip(1)), before)


def test_a_network_that_cannot_be_swapped_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with refused("channels-not-swappable", "--channels", kind=WeightsError):
        swap_channels(network, 16)
