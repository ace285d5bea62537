"""Networks of plugins that break the contract: refused by name before any work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.data import ArrayPictures, Dataset, Split
from zoo.errors import DataError, PluginError
from zoo.models.checked import build_network, check_answers
from zoo.registry import Registry, registry
from zoo.specs import BackboneSpec, DatasetSpec, Stage, WeightsSpec

from ..networks import STAGES, Small
from ..refusals import refused

RIGHT = BackboneSpec(name="mine", build=Small, head="head", stages=lambda _: STAGES, min_image_size=8)


def made(change: Callable[[Small], object] = lambda network: None, kind: type[Small] = Small) -> BackboneSpec:
    """`RIGHT` with another network."""

    def build(classes: int) -> nn.Module:
        network = kind(classes)
        change(network)
        return network

    return replace(RIGHT, build=build)


def answering(change: Callable[[torch.Tensor], object]) -> BackboneSpec:
    """`RIGHT` with another output."""

    class Other(Small):
        def forward(self, images):
            return change(super().forward(images))

    return made(kind=Other)


class AuxiliaryInTraining(Small):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits


def with_stages(*stages: object) -> BackboneSpec:
    return replace(RIGHT, stages=lambda _: stages)


def raising(error: BaseException) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error

    return fail


def weights(load: Callable[[], object]) -> BackboneSpec:
    return replace(RIGHT, weights=WeightsSpec(name="W", load=load, image_size=16))


def generator(*_: object):
    yield Small()


def head(module: nn.Module) -> BackboneSpec:
    return made(lambda network: setattr(network, "head", module))


STEM, BODY, HEAD = STAGES
WRONG = {
    "build raises": (replace(RIGHT, build=raising(ValueError("no luck"))), "factory-failed", "ValueError: no luck"),
    "build exits": (replace(RIGHT, build=raising(SystemExit(2))), "factory-failed", "build raised SystemExit"),
    "build returns nothing": (replace(RIGHT, build=lambda _: None), "factory-result", "build returned None"),
    "build is a generator": (replace(RIGHT, build=generator), "factory-result", "build returned a generator"),
    "build returns a class": (replace(RIGHT, build=lambda _: Small), "factory-result", "build returned a type"),
    "build takes no argument": (replace(RIGHT, build=lambda *, classes: Small(classes)), "factory-failed", "TypeError"),
    "stages raise": (replace(RIGHT, stages=raising(KeyError("stem"))), "factory-failed", "stages raised KeyError"),
    "stages are None": (replace(RIGHT, stages=lambda _: None), "factory-result", "stages returned None"),
    "stages are empty": (with_stages(), "factory-result", "stages returned"),
    "stages are names": (with_stages("stem", "body", "head"), "factory-result", "a str"),
    "weights raise": (weights(raising(RuntimeError("broken"))), "factory-failed", "weights.load raised RuntimeError"),
    "weights exit": (weights(raising(SystemExit())), "factory-failed", "weights.load raised SystemExit"),
    "weights are a list": (weights(lambda: [1]), "factory-result", "weights.load returned a list"),
    "weights are a network": (weights(Small), "factory-result", "weights.load returned a Small"),
    "lazy layers": (head(nn.LazyLinear(3)), "faulty-parameters", "head.weight"),
    "float64": (made(lambda network: network.double()), "faulty-parameters", "float32"),
    "half of it float16": (made(lambda network: network.head.half()), "faulty-parameters", "head.weight"),
    "on another device": (made(lambda network: network.head.to("meta")), "faulty-parameters", "not on the CPU"),
    "a head that is missing": (replace(RIGHT, head="fc"), "faulty-head", "no module 'fc'"),
    "a head without a layer": (head(nn.Identity()), "faulty-head", "0 layers"),
    "a head of two layers": (head(nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 3))), "faulty-head", "2 layers"),
    "a head of another kind": (head(nn.BatchNorm1d(64)), "faulty-head", "a BatchNorm1d"),
    "a head without bias": (head(nn.Linear(64, 3, bias=False)), "faulty-head", "without a bias"),
    "a head of 1000 classes": (head(nn.Linear(64, 1000)), "faulty-head", "1000 outputs for 3 classes"),
    "a parameter in no stage": (with_stages(Stage("stem", ("stem.0",)), BODY, HEAD), "faulty-stages", "stem.1.weight"),
    "a buffer in no stage": (
        made(lambda network: network.register_buffer("scale", torch.ones(1))),
        "faulty-stages",
        "in no stage: scale",
    ),
    "a parameter in two stages": (
        with_stages(STEM, Stage("body", ("body", "stem.0")), HEAD),
        "faulty-stages",
        "stem.0.weight (stem and body)",
    ),
    "stages of one name": (with_stages(STEM, Stage("stem", ("body",)), HEAD), "faulty-stages", "one name: stem"),
    "a stage that is missing": (
        with_stages(STEM, Stage("body", ("body", "neck")), HEAD),
        "faulty-stages",
        "lacks: neck",
    ),
    "a last stage of another name": (with_stages(STEM, BODY, Stage("fc", ("head",))), "faulty-stages", "'fc'"),
    "a head stage that holds more": (with_stages(STEM, Stage("head", ("body", "head"))), "faulty-stages", "body, head"),
    "forward raises": (answering(raising(RuntimeError("shapes"))), "factory-failed", "forward raised RuntimeError"),
    "forward exits": (answering(raising(SystemExit(1))), "factory-failed", "forward raised SystemExit"),
    "softmax": (answering(lambda logits: logits.softmax(1)), "faulty-output", "applies softmax"),
    "log_softmax": (answering(lambda logits: logits.log_softmax(1)), "faulty-output", "applies log_softmax"),
    "softmax in the head": (
        head(nn.Sequential(nn.Linear(64, 3), nn.Softmax(1))),
        "faulty-output",
        "applies softmax",
    ),
    "a tuple": (answering(lambda logits: (logits, logits)), "faulty-output", "a tuple"),
    "a dict": (answering(lambda logits: {"logits": logits}), "faulty-output", "a dict"),
    "an object of a library": (answering(lambda logits: SimpleNamespace(logits=logits)), "faulty-output", "Namespace"),
    "a tuple in training": (made(kind=AuxiliaryInTraining), "faulty-output", "a tuple"),
    "None": (answering(lambda _: None), "faulty-output", "None"),
    "NaN": (answering(lambda logits: logits * float("nan")), "faulty-output", "not a number"),
    "infinite": (answering(lambda logits: logits + float("inf")), "faulty-output", "infinite"),
    "too few outputs": (answering(lambda logits: logits[:, :2]), "faulty-output", "[2, 2]"),
    "one vector": (answering(lambda logits: logits.flatten()), "faulty-output", "[6]"),
    "float64 logits": (answering(lambda logits: logits.double()), "faulty-output", "float64"),
}


@pytest.fixture(autouse=True)
def host(monkeypatch) -> Registry:
    own = Registry()
    monkeypatch.setattr("zoo.registry.registry", lambda: own)
    monkeypatch.setattr("zoo.training.setup.registry", lambda: own)
    return own


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_network_is_refused_by_name_and_leaves_nothing(case, bars, tmp_path):
    spec, code, fact = WRONG[case]
    zoo.register(spec)
    with refused(code, "'mine'", fact, kind=PluginError):
        zoo.train("mine", bars, image_size=16, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


RIGHT_ONES = {
    "as it is": RIGHT,
    "a smallest size that is too small": replace(
        made(lambda network: setattr(network.body, "2", nn.AvgPool2d(2))), min_image_size=1
    ),
    "stages from a generator": replace(RIGHT, stages=lambda _: (stage for stage in STAGES)),
    "logits that sum to 1": made(
        lambda network: [nn.init.zeros_(network.head.weight), nn.init.constant_(network.head.bias, 1 / 3)]
    ),
    "logits of equal chances": made(
        lambda network: [nn.init.zeros_(network.head.weight), nn.init.constant_(network.head.bias, -np.log(3))]
    ),
    "a convolution as head": made(
        lambda network: [
            setattr(network, "body", network.body[:-2]),
            setattr(network, "head", nn.Sequential(nn.Conv2d(16, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        ]
    ),
}


@pytest.mark.parametrize("case", RIGHT_ONES)
def test_a_right_network_passes_and_stays_as_it_was(case, host):
    host.register(RIGHT_ONES[case])
    entry = host.backbone("mine")
    network, stages = build_network(entry, 3)
    network.stem[1].eval()
    assert stages == STAGES
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    check_answers(entry, network, 3, 16)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert not network.stem[1].training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_ctrl_c_passes(bars, tmp_path):
    zoo.register(replace(RIGHT, build=raising(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        zoo.train("mine", bars, image_size=16, output=tmp_path / "run")


def test_weights_that_are_missing_keep_their_message(bars, tmp_path):
    zoo.register(weights(raising(OSError("no network"))))
    with refused("weights-unavailable", "no network"):
        zoo.train("mine", bars, image_size=16, weights="pretrained", output=tmp_path / "run")


def test_a_run_is_opened_with_a_checked_network(bars, tmp_path):
    zoo.register(RIGHT)
    run = zoo.train("mine", bars, image_size=16, epochs=1, output=tmp_path / "run")
    zoo.register(answering(lambda logits: logits.softmax(1)))
    with refused("faulty-output", "'mine'", "softmax"):
        run.classifier()


PICTURES = ArrayPictures(np.zeros((20, 8, 8, 3), np.uint8))
DATA = Dataset(classes=("a", "b"), train=Split(PICTURES, np.arange(20) % 2))
LOADS = {
    "raises": (raising(KeyError("x")), "factory-failed", "load raised KeyError"),
    "exits": (raising(SystemExit()), "factory-failed", "SystemExit"),
    "OSError": (raising(OSError("gone")), "factory-failed", "OSError: gone"),
    "None": (lambda _: None, "factory-result", "load returned None"),
    "a tuple": (lambda _: (PICTURES, []), "factory-result", "load returned a tuple"),
    "a generator": (generator, "factory-result", "load returned a generator"),
}


@pytest.mark.parametrize("case", LOADS)
def test_a_wrong_dataset_is_refused_by_name(case, tmp_path):
    load, code, fact = LOADS[case]
    zoo.register(DatasetSpec(name="shapes", load=load))
    with refused(code, "'shapes'", fact, kind=PluginError):
        zoo.train("tiny", "shapes", image_size=16, output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_dataset_itself_passes(tmp_path):
    zoo.register(DatasetSpec(name="shapes", load=raising(DataError("Not here.", "Fetch it.", code="absent"))))
    with refused("absent", "Fetch it."):
        zoo.train("tiny", "shapes", image_size=16, output=tmp_path / "run")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_a_built_in_has_the_structure_and_is_not_run(name, monkeypatch):
    entry = registry().backbone(name)
    network, stages = build_network(entry, 3)
    assert stages[-1].name == "head"
    monkeypatch.setattr(type(network), "forward", raising(AssertionError()))
    check_answers(entry, network, 3, 224)
