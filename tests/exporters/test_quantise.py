"""int8 in ONNX: what is quantised, from which pictures, and what happens where it costs accuracy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from zoo.artifacts.predictor import open_runtime
from zoo.errors import ExportError, ParityError, UsageError
from zoo.exporting.int8_calibration import calibration
from zoo.exporting.pipeline import export
from zoo.exporting.source import RunSource
from zoo.models.classifier import Classifier
from zoo.parity import check_final
from zoo.parity.process import fresh_process
from zoo.parity.references import reference_of
from zoo.registry import registry
from zoo.specs import Calibration, LoadOptions, PreprocessSpec, WriteOptions
from zoo_exporters.quantise import quantise

from ..refusals import refused

pytestmark = pytest.mark.usefixtures("artifacts_here")

CLASSES = 4


class Residual(nn.Module):
    """What there is to quantise: convolutions with BatchNorm, a sum, pooling, a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.pool = nn.MaxPool2d(2)
        self.one, self.two = nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.three, self.four = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, images):
        maps = self.pool(self.stem(images))
        maps = torch.relu(maps + self.two(torch.relu(self.one(maps))))
        maps = torch.relu(self.four(torch.relu(self.three(maps))))
        return self.head(maps.mean((2, 3)))


def make_classifier() -> Classifier:
    torch.manual_seed(3)
    network = Residual()
    network.head.weight.data *= 8
    return Classifier(network, "abcd", PreprocessSpec(image_size=24), check=False).eval()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Blots of several colours and sizes."""
    rng = np.random.default_rng(0)
    shapes = [(24, 24), (30, 24), (24, 40)]
    return [
        np.clip(rng.integers(0, 256, 3) + rng.normal(0, 60, (*shapes[i % 3], 3)), 0, 255).astype(np.uint8)
        for i in range(48)
    ]


@pytest.fixture(scope="module")
def onnx_spec(tiny_plugin):
    return registry().exporter("onnx").spec


@pytest.fixture(scope="module")
def exported(onnx_spec, tmp_path_factory) -> dict[str, Path]:
    """The classifier in fp32, by input."""
    folder = tmp_path_factory.mktemp("fp32")
    for takes in ("pixels", "tensor"):
        onnx_spec.write(make_classifier(), folder / takes, WriteOptions(input=takes))
    return {takes: folder / takes for takes in ("pixels", "tensor")}


@pytest.fixture
def exported_of(onnx_spec, tmp_path):
    """Writes a network in fp32."""

    def write(network: nn.Module) -> Path:
        classifier = Classifier(network, "abcd", PreprocessSpec(image_size=24), check=False).eval()
        onnx_spec.write(classifier, tmp_path / "fp32.onnx", WriteOptions())
        return tmp_path / "fp32.onnx"

    return write


@pytest.fixture(scope="module")
def write(onnx_spec, tmp_path_factory):
    """Writes a classifier as an int8 file; returns the file and what was said of it."""

    def write(classifier, shown, budget=0.0, loss=lambda _: 0.0):
        path = tmp_path_factory.mktemp("int8") / "model.onnx"
        chosen = Calibration(pictures=shown, method="minmax", budget=budget, loss=loss)
        written = onnx_spec.write(classifier, path, WriteOptions(precision="int8", calibration=chosen))
        assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]
        return path, dict(written.facts)

    return write


@pytest.fixture(scope="module")
def small(write, pictures):
    return write(make_classifier(), pictures)


def logits(path: Path, pictures, takes="pixels", **options) -> np.ndarray:
    spec = registry().exporter("onnx").spec
    runtime = open_runtime(spec, path, takes, PreprocessSpec(image_size=24), LoadOptions(**options))
    return np.concatenate([runtime(picture[None]) for picture in pictures])


def eager(classifier, pictures) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([classifier(torch.from_numpy(picture[None])).numpy() for picture in pictures])


def error(path: Path, classifier, pictures, takes="pixels") -> float:
    """Mean difference of logits, relative to their spread."""
    want = eager(classifier, pictures)
    return float(np.abs(logits(path, pictures, takes) - want).mean() / np.sqrt(want.var(0).mean()))


def test_the_network_computes_in_integers_and_the_preprocessing_in_float(small):
    path, facts = small
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    made = {output: node for node in model.graph.node for output in node.output}
    sizes = {
        "image": ["batch", "height", "width", 3],
        "logits": ["batch", CLASSES],
        "probabilities": ["batch", CLASSES],
    }
    for value in [*model.graph.input, *model.graph.output]:
        assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == sizes[value.name]
    assert [(o.domain, o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")] == [("", 18)]
    weighted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm") and node.name != "node_normalise"]
    assert len(weighted) == 6
    for node in weighted:
        assert {made[name].op_type for name in node.input} == {"DequantizeLinear"}
    assert made[made["probabilities"].input[0]].op_type == "Gemm"
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    assert [made[node.input[1]].op_type for node in products] == ["Cast", "Reshape"]  # in float
    assert not model.metadata_props
    assert facts["float_layers"] == []
    assert facts["weight_bits"] == 7


def test_weights_have_a_step_per_channel_and_seven_bits(small):
    path, _ = small
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    own = dict(make_classifier().network.named_parameters())
    for name in ("one", "two", "three", "four", "head"):
        weight = own[f"{name}.weight"].detach().numpy()
        stored = constants[f"network.{name}.weight_quantized"]
        steps = constants[f"network.{name}.weight_scale"].reshape(-1, *[1] * (weight.ndim - 1))
        assert stored.dtype == np.int8
        assert abs(stored.astype(int)).max() == 64
        largest = abs(weight).reshape(len(weight), -1).max(1).reshape(steps.shape)
        assert (abs(stored * steps - weight) <= largest / 64 * 0.51).all()


@pytest.mark.parametrize(
    ("takes", "method"), [("pixels", "minmax"), ("tensor", "minmax"), ("pixels", "percentile"), ("tensor", "entropy")]
)
def test_logits_stay_close(takes, method, exported, pictures, tmp_path):
    path, spec = tmp_path / "model.onnx", None if takes == "pixels" else PreprocessSpec(image_size=24)
    chosen = Calibration(pictures=pictures, method=method, budget=0, loss=lambda _: 0.0)
    facts = quantise(exported[takes], path, chosen, spec)
    assert (facts["method"], facts["pictures"]) == (method, len(pictures))
    assert 1e-4 < error(path, make_classifier(), pictures, takes) < 0.08


def test_integer_kernels_answer_as_the_file_in_float_does(small, pictures):
    """With 8 bits, weights of the largest size saturate without VNNI."""
    path, _ = small
    fast, slow = logits(path, pictures), logits(path, pictures, optimised=False)
    assert abs(fast - slow).mean() < 0.01 * np.sqrt(slow.var(0).mean())


@pytest.mark.slow
def test_a_layer_that_int8_breaks_stays_in_float(write, pictures):
    """Scale moves between two layers: the network computes the same, and what lies between does not fit 8 bits."""
    classifier = make_classifier()
    network = classifier.network
    with torch.no_grad():
        network.three.weight[0] *= 2000
        network.three.bias[0] *= 2000
        network.four.weight[:, 0] /= 2000
    broken, _ = write(classifier, pictures)
    lost = error(broken, classifier, pictures)
    assert lost > 0.15
    path, facts = write(classifier, pictures, budget=0.1, loss=lambda file: error(file, classifier, pictures))
    assert sorted(facts["float_layers"]) == ["four", "three"]
    assert facts["lost_points"] <= 0.1
    assert error(path, classifier, pictures) < 0.1
    kept = {tensor.name for tensor in onnx.load(path).graph.initializer}
    assert {"network.three.weight", "network.four.weight", "network.one.weight_quantized"} <= kept


@pytest.mark.slow
def test_pictures_that_say_nothing_are_noticed(exported, pictures, tmp_path):
    classifier, seen = make_classifier(), []

    def loss(file):
        seen.append(100 * error(file, classifier, pictures))
        return seen[-1]

    black = [np.zeros((24, 24, 3), np.uint8)] * 8
    chosen = Calibration(pictures=black, method="minmax", budget=1, loss=loss)
    with refused("int8-over-budget", "--calibration-pictures", kind=ExportError) as caught:
        quantise(exported["pixels"], tmp_path / "model.onnx", chosen, None)
    assert f"{seen[-1]:.2f} points" in caught.value.cause
    assert seen[0] > 40
    assert len(seen) == 4  # none, 1, 2 and 4 of 8 layers in float


class Mixed(nn.Module):
    """Layers whose weights torch.onnx names in several ways: as they are, transposed, and not as a module's weight."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 8, 8)
        self.mlp = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False))
        self.scale = nn.Parameter(torch.randn(4, 4))
        self.head = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))

    def forward(self, images):
        tokens = self.mlp(self.stem(images).flatten(2).transpose(1, 2)) @ self.scale
        return self.head(tokens.mean(1))


def test_layers_are_named_after_their_modules(exported_of, pictures, monkeypatch, tmp_path):
    def products_first(source, quantised, layers, feeds):
        return sorted(layers, key=lambda layer: layer.op_type != "MatMul")

    monkeypatch.setattr("zoo_exporters.quantise.worst_first", products_first)
    lost = iter([50.0, 50.0, 50.0, 0.5])  # with 0, 1, 2 and 3 layers in float
    chosen = Calibration(pictures=pictures[:4], method="minmax", budget=1, loss=lambda _: next(lost))
    facts = quantise(exported_of(Mixed()), tmp_path / "model.onnx", chosen, None)
    assert facts["layers"] == 6
    assert facts["float_layers"][:2] == ["mlp.0", "mlp.2"]
    assert facts["float_layers"][2].startswith("node_")


def test_half_of_the_layers_are_tried_in_float(exported_of, pictures, tmp_path):
    source = exported_of(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(30)), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    tried: list[int] = []

    def loss(path: Path, enough: int = 15) -> float:
        weights = [tensor.name for tensor in onnx.load(path).graph.initializer]
        tried.append(30 - sum(name.endswith(".weight_quantized") for name in weights))
        return 50.0 if tried[-1] < enough else 0.5

    chosen = Calibration(pictures=pictures[:2], method="minmax", budget=1, loss=loss)
    facts = quantise(source, tmp_path / "model.onnx", chosen, None)
    assert tried == [0, 1, 2, 4, 8, 15]
    assert len(facts["float_layers"]) == 15
    with refused("int8-over-budget", "50.00 points", "15 of 30 layers", kind=ExportError):
        quantise(source, tmp_path / "model.onnx", replace(chosen, loss=partial(loss, enough=31)), None)


def test_a_network_without_layers_to_quantise(write, pictures):
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with refused("int8-no-layer", "--precision fp16", kind=ExportError):
        write(Classifier(network, "abc", PreprocessSpec(image_size=8), check=False).eval(), pictures)


def test_an_older_onnxruntime_is_named(exported, pictures, tmp_path, monkeypatch):
    monkeypatch.delattr("onnxruntime.quantization.save_tensors_data", raising=False)
    chosen = Calibration(pictures=pictures, method="minmax", budget=0.0, loss=lambda _: 0.0)
    with refused("int8-old-onnxruntime", "onnxruntime 1.27", "pip install --upgrade", kind=ExportError):
        quantise(exported["pixels"], tmp_path / "int8.onnx", chosen, None)


def test_quantising_is_quiet(exported, pictures, tmp_path, capfd, recwarn):
    chosen = Calibration(pictures=pictures[:4], method="percentile", budget=0, loss=lambda _: 0.0)
    quantise(exported["pixels"], tmp_path / "model.onnx", chosen, None)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_run_is_calibrated_on_its_training_pictures(trained, write, monkeypatch):
    reference, dataset = reference_of(trained), trained.dataset()
    classifier = reference.classifier
    monkeypatch.setattr(type(trained), "dataset", lambda _: replace(dataset, test=None))
    found = calibration(RunSource(trained), classifier, pictures=30)
    known = {dataset.train.pictures[i].tobytes(): label for i, label in enumerate(dataset.train.labels)}
    assert np.bincount([known[picture.tobytes()] for picture in found.pictures]).tolist() == [10, 10, 10]
    again = calibration(RunSource(trained), classifier, pictures=30)
    assert all(np.array_equal(a, b) for a, b in zip(found.pictures, again.pictures, strict=True))
    path, _ = write(classifier, found.pictures)
    assert found.loss(path) == pytest.approx(0, abs=2)
    with torch.no_grad():
        classifier.network[2].bias[0] += 1e6
    path, _ = write(classifier, found.pictures)
    assert found.loss(path) > 50


@pytest.mark.parametrize(("budget", "allowed"), [(1, 1), (4, 2), (10, 5), (0, 1)])
def test_half_of_the_budget_is_a_margin_for_pictures_not_seen(trained, budget, allowed):
    # There are 100 pictures to compare on: one of them is a point, and may always be lost.
    assert calibration(RunSource(trained), trained.classifier(), pictures=30, budget=budget).budget == allowed


def test_the_test_split_chooses_no_layer_and_refuses_aloud(trained, tmp_path, monkeypatch):
    """A test split on which the file is always wrong: the same layers are chosen, and the export says why it failed."""
    honest = reference_of(trained)
    chosen = export(trained, "onnx", tmp_path / "model.onnx", precision="int8", reference=honest)
    labels = (honest.split.labels + 1) % 3
    logits = [
        np.eye(3, dtype=np.float32)[labels[list(case.indices)]] if case.kind == "real" else rows
        for case, rows in zip(honest.cases, honest.logits, strict=True)
    ]
    strict = replace(honest, logits=tuple(logits), split=replace(honest.split, labels=labels))
    facts = []
    onnx = registry().exporter("onnx").spec
    monkeypatch.setattr(
        type(registry()),
        "exporter",
        lambda *_: SimpleNamespace(builtin=True, spec=replace(onnx, write=lambda *how: noted(facts, onnx.write(*how)))),
    )
    with refused("parity-logits", "accuracy", "--accuracy-budget", kind=ParityError):
        export(trained, "onnx", tmp_path / "refused.onnx", precision="int8", reference=strict)
    assert not (tmp_path / "refused.onnx").exists()
    assert facts[0]["float_layers"] == chosen.card.exported["float_layers"]


def noted(facts, written):
    facts.append(written.facts)
    return written


def test_the_final_file_gives_the_answers_that_its_card_holds(trained, tmp_path):
    found = export(trained, "onnx", tmp_path / "model.onnx", precision="int8")
    card = found.card
    moved = [[value + 0.2 * card.reference.spread for value in row] for row in card.reference.logits]
    other = card.model_copy(update={"reference": card.reference.model_copy(update={"logits": moved})})
    with fresh_process(found.path, card.preprocess) as artifact:
        check_final(artifact, card)
        with refused("parity-final", "with its card, it gives other answers", "2.0e-01", kind=ParityError):
            check_final(artifact, other)
        artifact(np.zeros((1, 9, 9, 3), np.uint8))
        content = bytearray(found.path.read_bytes())
        content[content.index(b"logits")] ^= 1
        found.path.write_bytes(content)
        with refused("hash-changed", "its content does not match its card", kind=ParityError):
            check_final(artifact, card)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"pictures": 0}, ("calibration-pictures", "--calibration-pictures 0")),
        ({"budget": -1}, ("accuracy-budget", "--accuracy-budget -1")),
        ({"budget": float("nan")}, ("accuracy-budget", "--accuracy-budget nan")),
    ],
)
def test_impossible_calibrations_are_refused(wrong, refusal, trained):
    with refused(*refusal, kind=UsageError):
        calibration(RunSource(trained), reference_of(trained).classifier, **wrong)


def test_sizes_are_no_values_to_quantise(tmp_path):
    """A Concat of integers, as attention has it: onnxruntime computes no difference of them."""
    values = np.random.default_rng(0).normal(0, 1, 4 * 3 * 9 + 3 * 4).astype(np.float32)
    constants = {
        "weight": values[:108].reshape(4, 3, 3, 3),
        "head": values[108:].reshape(3, 4),
        "rest": np.array([-1]),
        "axis": np.array([2]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["maps"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["maps"], ["number"], "number", start=0, end=1),
        helper.make_node("Shape", ["maps"], ["channels"], "channels", start=1, end=2),
        helper.make_node("Concat", ["number", "channels", "rest"], ["sizes"], "sizes", axis=0),
        helper.make_node("Reshape", ["maps", "sizes"], ["places"], "places"),
        helper.make_node("ReduceMean", ["places", "axis"], ["means"], "means", keepdims=0),
        helper.make_node("Gemm", ["means", "head"], ["logits"], "head", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    sides = {"image": ["n", 3, 8, 8], "logits": ["n", 3], "probabilities": ["n", 3]}
    image, *outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, side) for name, side in sides.items())
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "network", [image], outputs, tensors)
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), source)
    seen = np.random.default_rng(1).integers(0, 256, (8, 8, 8, 3), np.uint8)
    calibration = Calibration(pictures=list(seen), method="minmax", budget=1.0, loss=lambda _: 0.0)
    assert quantise(source, target, calibration, PreprocessSpec(image_size=8))["layers"] == 2
