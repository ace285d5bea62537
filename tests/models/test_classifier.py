"""A network from anywhere becomes a classifier, or the wrong argument is named before any work."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import zoo
from zoo import PreprocessSpec
from zoo.errors import DataError, UsageError
from zoo.models.classifier import Classifier
from zoo.models.forward import forward_fault

from ..cards import any_card
from ..refusals import refused

SPEC = PreprocessSpec(image_size=8)


def network(*after: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(144, 3), *after)


class Answers(nn.Module):
    """Answers what a function makes of the logits."""

    def __init__(self, answer):
        super().__init__()
        self.inner = network()
        self.answer = answer

    def forward(self, images):
        return self.answer(self.inner(images))


def ends(_):
    raise SystemExit(3)


def test_the_network_stays_as_it_was():
    own = network().train()
    own[2].eval()
    state, modes = copy.deepcopy(own.state_dict()), [module.training for module in own.modules()]
    before = torch.random.get_rng_state()
    classifier = zoo.Classifier(own, classes=["a", "b", "c"], preprocess=SPEC)
    assert [module.training for module in own.modules()] == modes
    assert all(torch.equal(own.state_dict()[name], value) for name, value in state.items())
    assert torch.equal(torch.random.get_rng_state(), before)

    assert not any(module.training for module in classifier.modules())
    assert classifier.classes == ("a", "b", "c")
    images = torch.randint(0, 256, (2, 9, 7, 3), dtype=torch.uint8)
    logits = classifier(images)
    assert torch.equal(logits, own.eval()(classifier.preprocess(images)))
    nn.init.zeros_(own[4].weight)
    assert torch.equal(classifier(images), logits)


def test_a_network_in_half_precision_is_held_in_float32():
    classifier = Classifier(network().half(), ["a", "b", "c"], SPEC)
    assert {parameter.dtype for parameter in classifier.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda x: x.softmax(1), "probabilities instead of logits"),
        (lambda x: (x, x), "returned a tuple, not a Tensor"),
        (lambda x: {"logits": x}, "returned a dict, not a Tensor"),
        (lambda x: x[:, :2], "shape [2, 2] for 2 pictures and 3 classes"),
        (lambda x: x[:, :, None], "shape [2, 3, 1]"),
        (lambda x: x.argmax(1), "shape [2]"),
        (lambda x: x.round().long(), "returned int64"),
        (lambda x: x * torch.inf, "infinite or not a number"),
        (lambda _: None, "returned None"),
        (ends, "SystemExit: 3"),
        (lambda x: x @ x, "RuntimeError: mat1 and mat2"),
    ],
)
def test_wrong_answers_are_refused(answer, fault):
    own = Answers(answer).train()
    assert fault in forward_fault(own, 8, 3)
    assert own.training
    with refused("classifier-network", fault, kind=UsageError):
        Classifier(own, ["a", "b", "c"], SPEC)


@pytest.mark.parametrize("answer", [lambda x: x, lambda x: x.log_softmax(1), lambda x: x.double()])
def test_logits_are_taken(answer):
    assert forward_fault(Answers(answer), 8, 3) is None


@pytest.mark.parametrize(
    ("asked", "code", "facts"),
    [
        ({"network": None}, "classifier-network", ["network is None, not a torch.nn.Module"]),
        ({"network": nn.Identity}, "classifier-network", ["Call it first"]),
        ({"network": {}}, "classifier-network", ["network is {}"]),
        ({"network": nn.DataParallel(network())}, "classifier-network", ["DataParallel", "network.module"]),
        ({"classes": "abc"}, "classes-type", ["are 'abc', not a list"]),
        ({"classes": 3}, "classes-type", ["are 3, not"]),
        ({"classes": {"a", "b", "c"}}, "classes-type", ["not a list"]),
        ({"classes": ["a", 2, "c"]}, "classes-type", ["['a', 2, 'c']"]),
        ({"classes": ["a"]}, "number-of-classes", ["1 class names"]),
        ({"classes": ["a", "b", "a"]}, "class-twice", ["'a' is in", "more than once"]),
        ({"classes": ["a", "b"]}, "classifier-network", ["2 pictures and 2 classes"]),
        ({"classes": ["a", " ", "c"]}, "impossible-class-name", ["it is empty"]),
        ({"classes": ["a", "b\n", "c"]}, "impossible-class-name", ["control character"]),
        ({"preprocess": None}, "classifier-preprocess", ["preprocess is None"]),
        ({"preprocess": PreprocessSpec(image_size="8")}, "classifier-preprocess", ["image_size='8'", "1 to 4096"]),
        ({"preprocess": {"image_size": 8}}, "classifier-preprocess", ["preprocess is {'image_size': 8}"]),
    ],
)
def test_wrong_arguments_are_named(asked, code, facts):
    with refused(code, *facts, kind=UsageError if code.startswith("classifier-") else DataError):
        Classifier(**{"network": network(), "classes": ["a", "b", "c"], "preprocess": SPEC, **asked})


@pytest.mark.parametrize(
    "fields",
    [
        {"image_size": 0},
        {"image_size": 4097},
        {"mean": (0.5, 0.5)},
        {"mean": (0.5, 0.5, float("nan"))},
        {"std": (0.5, 0.5, 0.0)},
        {"std": 1},
        {"crop_fraction": 0.0},
        {"crop_fraction": 1.5},
        {"resize": "pad"},
        {"channels": "bgr"},
        {"pixel_range": (1.0, 1.0)},
        {"pixel_range": (0.0, float("inf"))},
    ],
    ids=str,
)
def test_what_a_card_refuses_is_refused_at_the_door(fields):
    spec = PreprocessSpec(**{"image_size": 8, **fields})
    with refused("classifier-preprocess", f"preprocess has {next(iter(fields))}=", kind=UsageError):
        Classifier(network(), ["a", "b", "c"], spec)
    with pytest.raises(ValueError):
        any_card(preprocess={"image_size": 8, **fields})
