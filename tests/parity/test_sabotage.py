"""Every known way to spoil an artifact is caught and named, before any hash is involved."""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import parity
from zoo.data import ArrayPictures, Split
from zoo.errors import ParityError
from zoo.images import read_picture
from zoo.models.classifier import Classifier
from zoo.parity import checking
from zoo.parity.diagnosis import Mistake
from zoo.parity.refusal import RefusedError
from zoo.specs import Calibration, LoadOptions, PreprocessSpec, WriteOptions, Written
from zoo.transforms.preprocess import Preprocess
from zoo_exporters.plugin import zoo_exporters

from ..refusals import refused
from ..surgery import to_nearest, without_antialiasing

# torch.jit.script reads the annotations of the classes below: no postponed ones here.

ONNX, TORCHSCRIPT, PT2 = zoo_exporters()
SPEC = PreprocessSpec(image_size=16)


def make_classifier(spec: PreprocessSpec = SPEC) -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(72, 3),
    )
    network[1].running_mean.uniform_(-1, 1)
    network[1].running_var.uniform_(0.5, 2)
    return Classifier(network, "abc", spec, check=False).eval()


def make_split() -> Split:
    """Pictures of all frequencies, larger than the network's input."""
    rng = np.random.default_rng(5)
    levels = rng.integers(60, 190, (30, 1, 1, 3))
    pictures = (levels + rng.integers(-60, 61, (30, 50, 45, 3))).astype(np.uint8)
    return Split(ArrayPictures(pictures), np.arange(30) % 3)


@pytest.fixture(scope="module")
def expected() -> parity.Reference:
    return parity.reference(make_classifier(), "test", make_split(), depth="full")


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Saves the seconds that another process needs to start; test_parity.py has the processes."""

    @contextmanager
    def here(path, spec=None, takes="pixels", device="cpu", *, time_limit):
        (exporter,) = (exporter for exporter in (ONNX, TORCHSCRIPT, PT2) if path.suffix == exporter.suffix)
        runtimes = {wanted: exporter.load(path, LoadOptions(optimised=wanted)) for wanted in (True, False)}

        def ask(pictures, *, opened="optimised"):
            if isinstance(pictures, list):
                pictures = np.stack([read_picture(picture) for picture in pictures])
            try:
                return runtimes[opened == "optimised"](pictures)
            except Exception as error:
                raise RefusedError(f"it fails: {str(error).splitlines()[-1]}") from None

        yield ask

    monkeypatch.setattr(checking, "fresh_process", here)


class AlwaysTrains(nn.BatchNorm2d):
    """Stays in training mode, as under a network whose own `train` forgets its arguments."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class AlwaysDrops(nn.Dropout):
    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)


class Aliased(Preprocess):
    def resize(self, images: Tensor) -> Tensor:
        pixels = self.centre(images.permute(0, 3, 1, 2)).to(self.mean.dtype)
        return F.interpolate(pixels, size=(self.size, self.size), mode="bilinear", align_corners=False)


class Nearest(Preprocess):
    def resize(self, images: Tensor) -> Tensor:
        pixels = self.centre(images.permute(0, 3, 1, 2)).to(self.mean.dtype)
        return F.interpolate(pixels, size=(self.size, self.size), mode="nearest")


class AliasedCubic(Preprocess):
    def resize(self, images: Tensor) -> Tensor:
        pixels = self.centre(images.permute(0, 3, 1, 2)).to(self.mean.dtype)
        return F.interpolate(pixels, size=(self.size, self.size), mode="bicubic", align_corners=False)


class FrozenBatch(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images) + torch.zeros(int(images.shape[0]), 1)


def channels_swapped(classifier: Classifier) -> None:
    convolution = classifier.network[0]
    convolution.weight.data = convolution.weight.data.flip(1)


def normalisation_dropped(classifier: Classifier) -> None:
    classifier.preprocess.mean.zero_()
    classifier.preprocess.std.fill_(255)


def antialias_off(classifier: Classifier) -> None:
    classifier.preprocess = Aliased(SPEC)


def resize_to_nearest(classifier: Classifier) -> None:
    classifier.preprocess = Nearest(SPEC)


def squashed(classifier: Classifier) -> None:
    classifier.preprocess.squash = True


def softmax_applied(classifier: Classifier) -> None:
    classifier.network.append(nn.Softmax(1))


def batch_norm_trains(classifier: Classifier) -> None:
    trains = AlwaysTrains(8)
    trains.load_state_dict(classifier.network[1].state_dict())
    classifier.network[1] = trains


def eval_forgotten(classifier: Classifier) -> None:
    batch_norm_trains(classifier)
    classifier.network[3] = AlwaysDrops(0.5)


def batch_frozen(classifier: Classifier) -> None:
    classifier.network = FrozenBatch(classifier.network)


def not_finite(classifier: Classifier) -> None:
    classifier.network[6].bias.data[0] = float("nan")


def one_class_less(classifier: Classifier) -> None:
    classifier.network[6] = nn.Linear(72, 2)


# Code, and what the message must hold.
Refusal = tuple[str, ...]
BATCH_NORM: Refusal = ("batch-norm-trains", "depends on the others", "row alone", "eval()")
BATCH_OF_2: Refusal = ("batch-size-fixed", "batches of 7", "only batches of 2")
BY_EXPORT: dict[object, Refusal] = {
    resize_to_nearest: ("nearest-pixel",),
    eval_forgotten: ("parity-deterministic", "dropout", "eval()"),
}
ON_TORCHSCRIPT: dict[object, Refusal] = BY_EXPORT | {
    antialias_off: ("not-antialiased",),
    batch_norm_trains: BATCH_NORM,
    channels_swapped: ("channels-swapped", "swapped colour channels"),
    normalisation_dropped: ("not-normalised",),
    squashed: ("squashed",),
    softmax_applied: ("softmax",),
    batch_frozen: BATCH_OF_2,
    not_finite: ("parity-finite",),
    one_class_less: ("logits-shape", "[7, 2] instead of [7, 3]"),
}


@pytest.mark.parametrize(
    ("exporter", "sabotage", "refusal"),
    [(TORCHSCRIPT, *pair) for pair in ON_TORCHSCRIPT.items()] + [(ONNX, *pair) for pair in BY_EXPORT.items()],
    ids=lambda value: getattr(value, "__name__", getattr(value, "name", "")),
)
def test_a_sabotaged_classifier_is_caught_by_name(expected, exporter, sabotage, refusal, tmp_path):
    other = make_classifier()
    sabotage(other)
    path = tmp_path / f"model{exporter.suffix}"
    exporter.write(other, path, WriteOptions())
    with refused(*refusal, kind=ParityError):
        parity.check(expected, exporter, path)


SHORTER = replace(SPEC, resize="shorter", crop_fraction=0.75)
BICUBIC = replace(SHORTER, interpolation="bicubic")
CUBIC_CROP = replace(SPEC, interpolation="bicubic")


@cache
def expected_of(spec: PreprocessSpec) -> parity.Reference:
    return parity.reference(make_classifier(spec), "test", make_split())


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        (SPEC, Preprocess(CUBIC_CROP), "bicubic"),
        (SPEC, Preprocess(replace(SPEC, resize="shorter")), "resized-first"),
        (BICUBIC, Preprocess(SHORTER), "bilinear"),
        (BICUBIC, Preprocess(replace(BICUBIC, resize="crop")), "cropped-first"),
        (BICUBIC, Preprocess(replace(BICUBIC, resize="squash")), "squashed"),
        (BICUBIC, Preprocess(replace(BICUBIC, crop_fraction=1.0)), "no-crop-fraction"),
        (SHORTER, Preprocess(BICUBIC), "bicubic"),
        (SHORTER, Preprocess(replace(SHORTER, resize="crop")), "cropped-first"),
        (CUBIC_CROP, AliasedCubic(CUBIC_CROP), "not-antialiased"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_with_another_resize_is_caught_by_name(right, wrong, code, tmp_path):
    path = tmp_path / "model.pt"
    TORCHSCRIPT.write(make_classifier(right), path, WriteOptions())
    parity.check(expected_of(right), TORCHSCRIPT, path)
    other = make_classifier(right)
    other.preprocess = wrong
    TORCHSCRIPT.write(other, path, WriteOptions())
    with refused(code, "answers like the classifier with", kind=ParityError):
        parity.check(expected_of(right), TORCHSCRIPT, path)


def test_mistakes_are_tried_on_refusal_alone(expected, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(checking, "diagnose", lambda *_: tried.append(1))
    TORCHSCRIPT.write(make_classifier(), tmp_path / "model.pt", WriteOptions())
    parity.check(expected, TORCHSCRIPT, tmp_path / "model.pt")
    assert not tried
    other = make_classifier()
    squashed(other)
    TORCHSCRIPT.write(other, tmp_path / "model.pt", WriteOptions())
    with refused("parity-logits", kind=ParityError):
        parity.check(expected, TORCHSCRIPT, tmp_path / "model.pt")
    assert tried


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("honest") / "model.onnx"
    ONNX.write(make_classifier(), path, WriteOptions())
    return onnx.load(path)


def initialiser(model: onnx.ModelProto, shape: list[int], near: np.ndarray | None = None) -> onnx.TensorProto:
    """The only one of that shape, or of that value."""
    (found,) = (
        value
        for value in model.graph.initializer
        if list(value.dims) == shape and (near is None or np.allclose(numpy_helper.to_array(value), near))
    )
    return found


def swap_channels(model: onnx.ModelProto) -> None:
    weight = initialiser(model, [8, 3, 3, 3])
    swapped = np.ascontiguousarray(numpy_helper.to_array(weight)[:, ::-1])
    weight.CopyFrom(numpy_helper.from_array(swapped, weight.name))


def drop_normalisation(model: onnx.ModelProto) -> None:
    for right, wrong in ((SPEC.mean, 0.0), (SPEC.std, 255.0)):
        value = initialiser(model, [1, 3, 1, 1], 255 * np.array(right, np.float32).reshape(1, 3, 1, 1))
        value.CopyFrom(numpy_helper.from_array(np.full((1, 3, 1, 1), wrong, np.float32), value.name))


def train_batch_norm(model: onnx.ModelProto) -> None:
    """Normalises by the batch what the running statistics, folded into the convolution, have normalised already."""
    (node,) = (node for node in model.graph.node if node.op_type == "Conv")
    (after,) = (other for other in model.graph.node if node.output[0] in other.input)
    variance = make_classifier().network[1].running_var.numpy().reshape(1, 8, 1, 1)
    constants = {"axes": np.array([0, 2, 3]), "epsilon": (1e-5 / (variance + 1e-5)).astype(np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    steps = [
        ("ReduceMean", [node.output[0], "axes"], "own_mean"),
        ("Sub", [node.output[0], "own_mean"], "centred"),
        ("Mul", ["centred", "centred"], "squared"),
        ("ReduceMean", ["squared", "axes"], "own_variance"),
        ("Add", ["own_variance", "epsilon"], "positive"),
        ("Sqrt", ["positive"], "deviation"),
        ("Div", ["centred", "deviation"], "normalised"),
    ]
    where = list(model.graph.node).index(node) + 1
    for operator, inputs, output in reversed(steps):
        model.graph.node.insert(where, onnx.helper.make_node(operator, inputs, [output]))
    after.input[list(after.input).index(node.output[0])] = "normalised"


def freeze_batch(model: onnx.ModelProto) -> None:
    """Adds zeros of the shape that the batch had while it was traced."""
    (node,) = (node for node in model.graph.node if "logits" in node.output)
    node.output[0] = "before"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 1), np.float32), "zeros"))
    where = list(model.graph.node).index(node) + 1
    model.graph.node.insert(where, onnx.helper.make_node("Add", ["before", "zeros"], ["logits"]))


@pytest.mark.parametrize(
    ("surgery", "refusal"),
    [
        (swap_channels, ("channels-swapped",)),
        (drop_normalisation, ("not-normalised",)),
        (without_antialiasing, ("not-antialiased",)),
        (train_batch_norm, BATCH_NORM),
        (freeze_batch, BATCH_OF_2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_changed_graph_is_caught_by_name(expected, honest, surgery, refusal, tmp_path):
    model = copy.deepcopy(honest)
    parity_of(expected, model, tmp_path / "honest.onnx")
    surgery(model)
    with refused(*refusal, kind=ParityError):
        parity_of(expected, model, tmp_path / "model.onnx")


@pytest.fixture(scope="module", params=["fp16", "int8"])
def lower(request, tmp_path_factory) -> tuple[onnx.ModelProto, WriteOptions, Written]:
    """An honest file, the options it was written with, and what its exporter said of it."""
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    shown = [make_split().pictures[index] for index in range(8)]
    calibrated = Calibration(pictures=shown, method="minmax", budget=0, loss=lambda _: 0.0)
    options = WriteOptions(precision=request.param, calibration=calibrated if request.param == "int8" else None)
    written = ONNX.write(make_classifier(), path, options)
    return onnx.load(path), options, written


def spoil_one_weight(model: onnx.ModelProto) -> None:
    """By one step of its precision's scale."""
    weight = next(value for value in model.graph.initializer if list(value.dims) == [8, 3, 3, 3])
    values = numpy_helper.to_array(weight).copy()
    values[1, 2, 0, 1] += values[1].max() / 64 if values.dtype == np.float16 else 1 - 2 * (values[1, 2, 0, 1] > 0)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


@pytest.mark.parametrize(
    ("surgery", "refusal"),
    [
        (without_antialiasing, ("not-antialiased", "(Clip), which preprocess computes")),
        (to_nearest, ("nearest-pixel", "which preprocess computes")),
        (spoil_one_weight, ("parity-inside", "network.0.weight is not the classifier's")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_lower_precision_hides_no_mistake(expected, lower, surgery, refusal, tmp_path):
    honest, options, written = lower

    def check(model: onnx.ModelProto) -> None:
        onnx.save(model, tmp_path / "model.onnx")
        parity.check(expected, ONNX, tmp_path / "model.onnx", options=options, written=written, budget=100)

    check(honest)
    changed = copy.deepcopy(honest)
    surgery(changed)
    with refused(*refusal, kind=ParityError):
        check(changed)


def test_what_int8_loses_has_remedies_of_its_own_and_looks_like_no_mistake(expected, lower, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "diagnose", lambda *_: Mistake("a mistake", code="a-mistake"))
    honest, options, written = lower
    broken = copy.deepcopy(honest)
    head = next(value for value in broken.graph.initializer if list(value.dims) == [3, 72])
    values = numpy_helper.to_array(head)
    head.CopyFrom(numpy_helper.from_array((values // 16 * 16 if values.dtype == np.int8 else 2 * values), head.name))
    onnx.save(broken, tmp_path / "model.onnx")

    def refusal(said: Written) -> ParityError:
        with pytest.raises(ParityError) as error:
            parity.check(expected, ONNX, tmp_path / "model.onnx", options=options, written=said, budget=0)
        return error.value

    remedy = {"fp16": "Export it in fp32.", "int8": "Calibrate with more pictures"}[options.precision]
    assert refusal(Written()).remedy.startswith(remedy)
    assert ("with a mistake" in refusal(Written()).cause) == (options.precision == "fp16")
    assert (refusal(Written()).code == "a-mistake") == (options.precision == "fp16")
    assert "with a mistake" in refusal(written).cause
    assert refusal(written).code == "a-mistake"
    assert refusal(written).remedy.startswith("Try another format")


def parity_of(expected, model: onnx.ModelProto, path) -> None:
    onnx.save(model, path)
    parity.check(expected, ONNX, path)


def test_one_weight_changed_by_one_percent_is_caught_inside(tmp_path):
    """One of five million: no logit tells."""
    from torchvision.models.resnet import BasicBlock, ResNet

    torch.manual_seed(0)
    network = ResNet(BasicBlock, [1, 2, 1, 1], num_classes=3)
    classifier = Classifier(network, "abc", PreprocessSpec(image_size=32), check=False).eval()
    reference = parity.reference(classifier, "test", make_split(), seconds=0)
    other = copy.deepcopy(classifier)
    with torch.no_grad():
        other.network.layer2[1].conv1.weight[5, 7, 1, 1] *= 1.01

    def divergence(path, images) -> str | None:
        assert images.shape == (2, 48, 42, 3)
        with warnings.catch_warnings(action="ignore"):  # deprecated
            there = torch.jit.load(path).state_dict()
        for name, value in classifier.state_dict().items():
            if not torch.equal(value, there[name]):
                return f"{name} differs from the classifier's"
        return None

    path = tmp_path / "model.pt"
    TORCHSCRIPT.write(other, path, WriteOptions())
    assert parity.check(reference, TORCHSCRIPT, path)["top1_agreement"] == 1
    with refused("parity-inside", "network.layer2.1.conv1.weight differs", kind=ParityError):
        parity.check(reference, TORCHSCRIPT, path, written=Written(divergence=divergence))
