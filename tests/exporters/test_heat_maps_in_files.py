"""`zoo export --heatmap`: class activation maps as an output of the file, compared like the logits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from zoo import parity
from zoo.artifacts.heat_maps import heat_map
from zoo.artifacts.predictor import Predictor, load
from zoo.exporting.pipeline import export
from zoo.exporting.source import source_of
from zoo.models.class_maps import class_maps
from zoo.models.classifier import Classifier
from zoo.parity.compare import maps_agree
from zoo.parity.tolerances import allowed
from zoo.registry import registry
from zoo.specs import PreprocessSpec, WriteOptions
from zoo.testing.networks import awaken, sample_pictures
from zoo.transforms.view import framed

from ..refusals import refused

SIZE, CLASSES = 24, ("one", "two", "three")
PICTURES = sample_pictures()
SPEC = PreprocessSpec(image_size=SIZE, crop_fraction=0.9)


def network(*, behind=(), cells=1, head=None) -> nn.Module:
    stem = (nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
    last = head or nn.Linear(16 * cells * cells, len(CLASSES))
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(cells), nn.Flatten(), *behind, last)


def classifier(made: nn.Module) -> Classifier:
    torch.manual_seed(0)
    found = Classifier(made, CLASSES, SPEC, check=False)
    inputs = torch.cat([found.preprocess(torch.from_numpy(each[None])) for each in PICTURES])
    awaken(found.network, inputs, len(CLASSES))
    return found.eval()


@pytest.fixture(scope="module")
def whole() -> Classifier:
    return classifier(network())


@pytest.fixture(scope="module")
def file(whole, tmp_path_factory):
    return export(whole, tmp_path_factory.mktemp("maps") / "model.onnx", heatmap=True, pictures=PICTURES)


def maps_of(artifact) -> np.ndarray:
    return load(artifact.path).runtime.maps(np.stack([PICTURES[0]] * 2))


def test_the_averages_of_the_maps_are_the_logits(whole):
    maps = class_maps(whole, np.stack([PICTURES[0]] * 2))
    with torch.no_grad():
        logits = whole(torch.from_numpy(PICTURES[0][None])).numpy()[0]
    bias = whole.network[-1].bias.detach().numpy()
    assert maps.shape == (2, 3, 6, 6)
    assert np.allclose(maps[0].mean((1, 2)) + bias, logits, atol=1e-5)
    assert not whole.network[4]._forward_hooks


def test_a_file_has_the_maps_of_its_classifier(whole, file):
    assert np.allclose(maps_of(file), class_maps(whole, np.stack([PICTURES[0]] * 2)), atol=1e-5)
    assert file.card.exported["heatmap"] is True
    assert next(check for check in file.report["checks"] if check["name"] == "heat maps")["passed"]
    predictor = load(file.path)
    found = predictor.heat_map(PICTURES[0])
    assert (found.method, found.label) == ("maps", predictor.predict([PICTURES[0]])[0].label)
    maps = class_maps(whole, framed(found.view[None], SPEC))[0]
    assert np.allclose(found.values, maps[CLASSES.index(found.label)] - maps.mean(0), atol=1e-4)


@pytest.mark.parametrize("form", ["torchscript", "pt2"])
def test_the_other_formats_have_them_too(form, whole, tmp_path):
    made = export(whole, form, tmp_path / "model", heatmap=True, pictures=PICTURES)
    assert np.allclose(maps_of(made), class_maps(whole, np.stack([PICTURES[0]] * 2)), atol=1e-5)


def test_a_file_for_tensors_in_half_precision_has_them(whole, tmp_path):
    with torch.no_grad():
        labels = [int(whole(torch.from_numpy(each[None])).argmax()) for each in PICTURES]
    made = export(
        whole,
        "onnx",
        tmp_path / "model",
        input="tensor",
        precision="fp16",
        heatmap=True,
        accuracy_budget=100,
        pictures=(PICTURES, labels),
    )
    wanted = class_maps(whole, np.stack([PICTURES[0]] * 2))
    assert np.abs(maps_of(made) - wanted).max() < 1e-2 * wanted.std()


def test_a_pointwise_convolution_may_be_the_head(tmp_path):
    parts = [*network(head=nn.Identity())[:5], nn.Conv2d(16, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    torch.manual_seed(0)
    made = Classifier(nn.Sequential(*parts), CLASSES, SPEC)
    assert class_maps(made, PICTURES[0][None]).shape == (1, 3, 6, 6)


@pytest.mark.parametrize("made", [{"cells": 2}, {"behind": (nn.Linear(16, 16), nn.ReLU())}], ids=["places", "hidden"])
def test_other_heads_have_no_maps(made, tmp_path):
    with refused("no-class-maps"):
        export(classifier(network(**made)), "onnx", tmp_path / "model", heatmap=True, pictures=PICTURES)
    assert not list(tmp_path.iterdir())


def test_wrong_maps_are_refused_by_name(whole, file, tmp_path):
    model = onnx.load(file.path)
    node = next(node for node in model.graph.node if "heatmap" in node.output)
    node.output[0] = "own"
    model.graph.initializer.append(helper.make_tensor("factor", TensorProto.FLOAT, [], [1.01]))
    model.graph.node.append(helper.make_node("Mul", ["own", "factor"], ["heatmap"]))
    path = tmp_path / "wrong.onnx"
    onnx.save(model, path)
    reference = source_of(whole, precision="fp32", pictures=PICTURES).reference("quick", lambda _: None)
    spec = registry().exporter("onnx").spec
    parity.check(reference, spec, path)
    with refused("parity-heat-maps"):
        parity.check(reference, spec, path, options=WriteOptions(heatmap=True))


def test_maps_that_are_all_equal_are_compared():
    flat = np.full((2, 3, 4, 4), 0.5, np.float32)
    bounds = allowed(registry().exporter("onnx").spec, "fp32", "pixels", "cpu").allowed
    assert not maps_agree(flat, flat, bounds).reason
    assert maps_agree(flat + 1, flat, bounds).reason


def test_what_a_file_says_of_its_maps_is_not_believed():
    class Runtime:
        def __call__(self, images):
            return np.zeros((len(images), 3), np.float32)

        def maps(self, images):
            return answer()

    card = SimpleNamespace(preprocess=SPEC, precision="fp32", classes=CLASSES, exported={"heatmap": True})
    answers = {
        "runtime-failed": lambda: 1 / 0,
        "heatmap-shape": lambda: np.zeros((1, 2, 4, 4), np.float32),
        "heatmap-shape ": lambda: np.full((1, 3, 4, 4), np.nan, np.float32),
        "heatmap-shape  ": lambda: "maps",
    }
    for code, answer in answers.items():  # noqa: B007
        with refused(code.strip()):
            heat_map(Predictor(card, Runtime()), PICTURES[0])


def test_int8_has_none(whole, tmp_path):
    with refused("int8-heatmap"):
        export(whole, "onnx", tmp_path / "model", precision="int8", heatmap=True, pictures=PICTURES)
