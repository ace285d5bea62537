"""ONNX in depth: opsets, weights beside the file, half precision, and the first value that diverges."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from zoo.errors import ArtifactError, ExportError, UsageError
from zoo.models.classifier import Classifier
from zoo.specs import Calibration, LoadOptions, PreprocessSpec, WriteOptions
from zoo_exporters import onnx as format_
from zoo_exporters import onnx_file, onnx_run, wire

from ..exporters.test_exporters import differences, make_classifier
from ..refusals import refused
from ..surgery import to_nearest, without_antialiasing

CARD = '{"classes": ["a", "b"]}'


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Two pictures larger than the networks see, smooth and rough in places, uint8 `[2, 90, 100, 3]`."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 9, 10, 3), dtype=np.uint8).repeat(10, axis=1).repeat(10, axis=2)
    return np.clip(coarse + rng.integers(-40, 40, coarse.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def resnet(pictures) -> Classifier:
    """A short ResNet whose BatchNorms have seen pictures."""
    torch.manual_seed(0)
    network = ResNet(BasicBlock, [2, 1, 1, 1], num_classes=4)
    classifier = Classifier(network, "abcd", PreprocessSpec(image_size=64), check=False)
    with torch.no_grad():
        for _ in range(3):
            classifier(torch.from_numpy(pictures))
    return classifier.eval()


@pytest.fixture(scope="module")
def honest(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("honest") / "model.onnx"
    return path, format_.write(resnet, path, WriteOptions(parity="full"))


@pytest.fixture(scope="module")
def split_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("split") / "model.onnx"
    written = format_.write(make_classifier(), path, WriteOptions(external_data=True))
    assert written.facts == {"opset": 18, "external_data": True}
    return path


@pytest.fixture
def pair(split_file, tmp_path) -> Path:
    for path in (split_file, onnx_file.data_path(split_file)):
        shutil.copy(path, tmp_path)
    return tmp_path / split_file.name


def imported(path: Path) -> int:
    return onnx.load(path, load_external_data=False).opset_import[0].version


# https://github.com/onnx/onnx/blob/main/docs/Versioning.md
IR_VERSIONS = dict(zip(range(14, 26), (7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13), strict=True))


@pytest.mark.parametrize(
    "options", [WriteOptions(opset=opset, input="pixels" if opset >= 18 else "tensor") for opset in IR_VERSIONS]
)
def test_the_file_has_the_opset_that_was_asked_for_and_the_lowest_ir_version(options, tmp_path):
    path = tmp_path / "model.onnx"
    classifier = make_classifier()
    written = format_.write(classifier, path, options)
    assert imported(path) == options.opset == written.facts["opset"]
    assert onnx.load(path).ir_version == IR_VERSIONS[options.opset]
    if options.opset > 21 and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 24):
        pytest.skip("onnxruntime before 1.24 runs no opset 25, and older ones no 22")
    if options.input == "pixels":
        assert max(differences(format_, path, classifier)) < 2e-6
    else:
        tensors = np.random.default_rng(0).standard_normal((3, 3, 16, 16), np.float32)
        expected = classifier.network(torch.from_numpy(tensors)).detach().numpy()
        np.testing.assert_allclose(format_.load(path, LoadOptions())(tensors), expected, atol=2e-6)
        assert written.divergence(path, tensors) is None


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("opset", [18, 25])
def test_other_precisions_have_the_lowest_ir_version_too(precision, opset, pictures, tmp_path):
    calibration = Calibration(pictures=pictures, method="minmax", budget=0, loss=lambda _: 0.0)
    options = WriteOptions(opset=opset, precision=precision, calibration=calibration if precision == "int8" else None)
    path = tmp_path / "model.onnx"
    format_.write(make_classifier(), path, options)
    assert onnx.load(path).ir_version == IR_VERSIONS[opset]


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (WriteOptions(opset=14), ("opset-unsupported", "14", "15 to 25")),
        (WriteOptions(opset=26), ("opset-unsupported", "26", "15 to 25")),
        (WriteOptions(opset=13, input="tensor"), ("opset-unsupported", "13", "14 to 25")),
        (WriteOptions(opset=0), ("opset-unsupported", "opset 0", "15 to 25")),
    ],
)
def test_opsets_that_cannot_be_are_refused(options, refusal, tmp_path):
    with refused(*refusal, kind=UsageError):
        format_.write(make_classifier(), tmp_path / "model.onnx", options)
    assert not list(tmp_path.iterdir())


def test_an_operator_without_a_counterpart_in_an_old_opset_is_refused_quietly(tmp_path, capfd, caplog):
    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(768), nn.Linear(768, 2))  # opset 17 has the norm, 16 has not
    classifier = Classifier(network, "ab", PreprocessSpec(image_size=16), check=False).eval()
    with refused("opset-lacks-operator", "opset 16", "14 to 25", kind=UsageError):
        format_.write(classifier, tmp_path / "model.onnx", WriteOptions(opset=16, input="tensor"))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_weights_lie_beside_the_file(pair, tmp_path):
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    weights = make_classifier().network[0].weight.detach().numpy()
    assert len(onnx_file.data_path(pair).read_bytes()) >= weights.nbytes
    assert max(differences(format_, pair, make_classifier())) < 2e-6
    bare = format_.content_hash(pair)
    format_.write_card(pair, CARD)
    assert format_.read_card(pair) == CARD
    assert format_.content_hash(pair) == bare


def test_the_hash_covers_weights_beside_the_file(pair):
    bare = format_.content_hash(pair)
    data = bytearray(onnx_file.data_path(pair).read_bytes())
    data[len(data) // 2] ^= 1
    onnx_file.data_path(pair).write_bytes(data)
    assert format_.content_hash(pair) != bare


@pytest.mark.slow
def test_more_than_one_file_can_hold_goes_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo_exporters.onnx.MAX_MODEL_BYTES", 1000)
    with refused("onnx-too-large", "2 GB", "--external-data", "--torchscript", kind=ExportError):
        format_.write(make_classifier(), tmp_path / "model.onnx", WriteOptions())
    format_.write(make_classifier(), tmp_path / "model.onnx", WriteOptions(external_data=True))
    assert max(differences(format_, tmp_path / "model.onnx", make_classifier())) < 2e-6


def refused_by_all(path: Path, code: str, *facts: str) -> None:
    for read in (format_.read_card, format_.content_hash, lambda path: format_.load(path, LoadOptions())):
        with refused(code, *facts, kind=ArtifactError):
            read(path)


def test_missing_and_short_weights_are_named(pair):
    data = onnx_file.data_path(pair)
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    refused_by_all(pair, "incomplete-weights", "model.onnx.data", f"{len(content) - 1} of {len(content)} bytes")
    data.unlink()
    refused_by_all(pair, "missing-weights", "'model.onnx.data'")


def place(tensor: TensorProto, location: str | None) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    if location is not None:
        tensor.external_data.add(key="location", value=location)


def in_attribute(tensor):
    return helper.make_node("Constant", [], ["planted"], value=tensor)


def in_subgraph(tensor):
    branch = helper.make_graph([], "branch", [], [], initializer=[tensor])
    return helper.make_node("If", ["condition"], ["planted"], then_branch=branch, else_branch=branch)


def in_deeper_attribute(tensor):
    branch = helper.make_graph([in_attribute(tensor)], "branch", [], [])
    return helper.make_node("If", ["condition"], ["planted"], then_branch=branch, else_branch=branch)


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "./model.onnx.data", "folder/model.onnx.data", "model.onnx", "other.data", "", None],
)
def test_weights_in_strange_places_are_refused(pair, location):
    model = onnx.load(pair, load_external_data=False)
    place(model.graph.initializer[0], location)
    onnx.save(model, pair)
    refused_by_all(pair, "foreign-weights", f"from '{location or ''}'", "only 'model.onnx.data'")


@pytest.mark.parametrize("plant", [in_attribute, in_subgraph, in_deeper_attribute])
def test_tensors_anywhere_in_a_graph_are_looked_at(pair, plant):
    model = onnx.load(pair, load_external_data=False)
    tensor = TensorProto(name="planted", data_type=TensorProto.FLOAT, dims=[1])
    place(tensor, "../secret")
    model.graph.node.append(plant(tensor))
    pair.write_bytes(model.SerializeToString())
    refused_by_all(pair, "foreign-weights", "'../secret'")


def test_tensors_of_functions_and_sparse_ones_are_looked_at(pair):
    tensor = TensorProto(name="planted", data_type=TensorProto.FLOAT, dims=[1])
    place(tensor, "../secret")
    for field, place_ in (("function", "model.onnx.data"), ("sparse", "../secret")):
        model = onnx.load(pair, load_external_data=False)
        if field == "function":
            opset = [helper.make_opsetid("", 18)]
            model.functions.append(helper.make_function("own", "f", [], ["planted"], [in_attribute(tensor)], opset))
        else:
            model.graph.sparse_initializer.add().values.CopyFrom(tensor)
        changed = pair.with_name(f"{field}.onnx")
        changed.write_bytes(model.SerializeToString())
        refused_by_all(changed, "foreign-weights", f"'{place_}'")


def test_weights_behind_a_link_to_another_folder_are_refused(pair, tmp_path):
    data = onnx_file.data_path(pair)
    (tmp_path / "elsewhere").mkdir()
    data.rename(tmp_path / "elsewhere" / "data")
    data.symlink_to(tmp_path / "elsewhere" / "data")
    refused_by_all(pair, "linked-weights", "model.onnx.data")


def test_graphs_in_graphs_without_end_are_damaged(tmp_path):
    graph = b""
    for _ in range(60):  # a graph in an attribute of a node of a graph
        for field in (6, 5, 1):
            graph = bytes([field << 3 | 2]) + wire.encoded(len(graph)) + graph
    path = tmp_path / "deep.onnx"
    path.write_bytes(bytes([7 << 3 | 2]) + wire.encoded(len(graph)) + graph)
    with refused("damaged-file", path, kind=ArtifactError):
        format_.content_hash(path)


def test_half_precision_is_half_as_large_and_close(resnet, honest, pictures, tmp_path):
    path = tmp_path / "half.onnx"
    written = format_.write(resnet, path, WriteOptions(precision="fp16", parity="full"))
    assert path.stat().st_size < 0.52 * honest[0].stat().st_size
    logits = format_.load(path, LoadOptions())(pictures)
    assert logits.dtype == np.float32
    with torch.inference_mode():
        expected = resnet(torch.from_numpy(pictures)).numpy()
    assert 1e-5 < np.abs(logits - expected).max() / expected.std() < 2e-2
    model = onnx.load(path)
    kinds = {numpy_helper.to_array(one).dtype for one in model.graph.initializer if one.name.startswith("network")}
    assert kinds == {np.dtype(np.float16)}
    assert written.divergence(path, pictures) is None
    weight = next(one for one in model.graph.initializer if one.name == "network.layer1.0.conv1.weight")
    values = numpy_helper.to_array(weight).copy()
    values[3] *= np.float16(1.1)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)
    assert "(Conv), which network.layer1.0.conv1 and network.layer1.0.bn1" in written.divergence(path, pictures)


def test_int8_needs_pictures(tmp_path):
    with refused("int8-without-pictures", kind=ExportError):
        format_.write(make_classifier(), tmp_path / "model.onnx", WriteOptions(precision="int8"))


def test_files_say_nothing_of_their_maker(honest):
    model = onnx.load(honest[0])
    assert not model.metadata_props
    assert not model.graph.metadata_props
    for entry in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        assert not entry.doc_string
        assert not getattr(entry, "metadata_props", ())


def test_an_honest_file_diverges_nowhere(honest, pictures):
    path, written = honest
    assert written.facts == {"opset": 18, "external_data": False}
    assert written.divergence(path, pictures) is None


def node_of(model, kind: str, index: int = 0):
    return [node for node in model.graph.node if node.op_type == kind][index]


def weight_of(model, name: str) -> tuple[TensorProto, np.ndarray]:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    return tensor, numpy_helper.to_array(tensor).copy()


def set_weight(tensor: TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def one_weight(model):
    tensor, values = weight_of(model, "network.layer3.0.conv1.weight")
    values[5, 7, 1, 1] *= 1.01
    set_weight(tensor, values)


def channels_swapped(model):
    tensor, values = weight_of(model, "network.conv1.weight")
    set_weight(tensor, np.ascontiguousarray(values[:, ::-1]))


def mean_altered(model):
    tensor, values = weight_of(model, "preprocess.mean")
    set_weight(tensor, values + 1)


def removed(kind):
    def remove(model):
        node = node_of(model, kind, -1)
        for other in model.graph.node:
            other.input[:] = [node.input[0] if name == node.output[0] else name for name in other.input]
        model.graph.node.remove(node)

    return remove


def batchnorm_in_training(model):
    conv = next(node for node in model.graph.node if "network.layer2.0.conv2.weight" in node.input)
    _, values = weight_of(model, "network.layer2.0.conv2.weight")
    value, parts = conv.output[0], ("scale", "shift", "running_mean", "running_var")
    for name in parts:
        model.graph.initializer.append(numpy_helper.from_array(np.ones(len(values), np.float32), name))
    conv.output[0] = "raw"
    norm = helper.make_node(
        "BatchNormalization", ["raw", *parts], [value, "mean_", "var_"], name="forgotten", training_mode=1
    )
    model.graph.node.insert(list(model.graph.node).index(conv) + 1, norm)


SABOTAGES = {
    "one weight by 1 %": (one_weight, r"\(Conv\), which network.layer3.0.conv1 and network.layer3.0.bn1"),
    "channels swapped": (channels_swapped, r"\(Conv\), which network.conv1 and network.bn1"),
    "mean altered": (mean_altered, r"\(Sub\), which preprocess"),
    "Sub removed": (removed("Sub"), "no value 'sub_.*', which preprocess"),
    "Div removed": (removed("Div"), r"no value 'div_\d+', which preprocess"),
    "antialias off": (without_antialiasing, r"\(Clip\), which preprocess"),
    "nearest": (to_nearest, r"which preprocess"),
    "BatchNorm in training": (
        batchnorm_in_training,
        r"'forgotten' \(BatchNormalization\), which network.layer2.0.conv2",
    ),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_the_first_value_that_diverges_is_named(name, honest, pictures, tmp_path):
    sabotage, message = SABOTAGES[name]
    model = onnx.load(honest[0])
    sabotage(model)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    sentence = honest[1].divergence(path, pictures)
    assert sentence is not None
    assert re.search(message, sentence), sentence


def test_a_file_that_does_not_load_is_named(honest, pictures, tmp_path):
    model = onnx.load(honest[0])
    node_of(model, "Conv").op_type = "Convolve"
    onnx.save(model, tmp_path / "model.onnx")
    assert "onnxruntime cannot load the file" in honest[1].divergence(tmp_path / "model.onnx", pictures)


def test_a_program_of_another_classifier_diverges(honest, resnet, pictures):
    weight = resnet.network.layer1[1].conv2.weight
    with torch.no_grad():
        weight[0, 0, 0, 0] *= 1.01
        try:
            assert "network.layer1.1.conv2.weight" in honest[1].divergence(honest[0], pictures)
        finally:
            weight[0, 0, 0, 0] /= 1.01


def test_values_are_held_few_at_a_time(honest, pictures, monkeypatch):
    monkeypatch.setattr("zoo_exporters.onnx_values.CHUNK_BYTES", 2**20)
    assert honest[1].divergence(honest[0], pictures) is None


def test_weights_beside_the_file_are_compared_too(tmp_path, pictures):
    path = tmp_path / "model.onnx"
    written = format_.write(make_classifier(), path, WriteOptions(external_data=True, parity="full"))
    assert written.divergence(path, pictures) is None
    values = np.fromfile(onnx_file.data_path(path), np.float32)
    values[np.abs(values).argmax()] *= 1.01
    values.tofile(onnx_file.data_path(path))
    assert "(Conv)" in written.divergence(path, pictures)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "googlenet", "vit_b_32", "densenet121"])
def test_honest_files_diverge_nowhere(name, pictures, tmp_path):
    torch.manual_seed(0)
    options = {"image_size": 64} if name.startswith("vit") else {}
    if name == "googlenet":
        options = {"init_weights": False, "aux_logits": False}
    network = torchvision.models.get_model(name, weights=None, num_classes=4, **options)
    classifier = Classifier(network, "abcd", PreprocessSpec(image_size=64), check=False)
    with torch.no_grad():
        for _ in range(3):
            classifier(torch.from_numpy(pictures))
    path = tmp_path / "model.onnx"
    written = format_.write(classifier.eval(), path, WriteOptions(parity="full"))
    assert written.divergence(path, pictures) is None


class Folding(nn.Module):
    """BatchNorm behind whatever onnxscript may fold it into."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(4, 6, 2), nn.BatchNorm2d(6), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return self.head(self.up(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_batch_norm_folds_in_several_ways(precision, tmp_path):
    torch.manual_seed(0)
    classifier = Classifier(Folding(), "abc", PreprocessSpec(image_size=16), check=False).eval()
    path = tmp_path / "model.onnx"
    written = format_.write(classifier, path, WriteOptions(precision=precision, parity="full"))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 18, 3), np.uint8)
    assert written.divergence(path, pictures) is None
    model = onnx.load(path)
    (weight,) = (one for one in model.graph.initializer if one.name == "network.head.0.weight")
    values = numpy_helper.to_array(weight).copy()
    values[3, 2] *= values.dtype.type(1.02)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)
    assert written.divergence(path, pictures) is not None


class Windows(nn.Module):
    """Attention in four windows of 16 pixels, `[N, windows, heads, tokens, channels]`, as in NesT and Twins.

    Or, as in SAM, all of them in `[N * windows * heads, tokens, channels]`.
    """

    def __init__(self, mask=None, *, flat=False):
        super().__init__()
        self.mask, self.flat, self.head = mask, flat, nn.Linear(6, 3)

    def forward(self, x):
        tokens = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(x.shape[0], 3, 4, 16).permute(0, 2, 3, 1)
        parts = torch.stack([tokens, tokens.flip(-1)], 2)
        given = parts.reshape(-1, 16, 3) if self.flat else parts
        seen = nn.functional.scaled_dot_product_attention(given, given * 2, given, attn_mask=self.mask)
        seen = seen.reshape(parts.shape)
        return self.head(seen.mean((1, 3)).flatten(1))


BIAS = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("mask", [None, BIAS], ids=["open", "masked"])
def test_attention_in_windows(mask, flat, tmp_path):
    torch.manual_seed(0)
    classifier = Classifier(Windows(mask, flat=flat), "abc", PreprocessSpec(image_size=8), check=False).eval()
    path = tmp_path / "model.onnx"
    format_.write(classifier, path, WriteOptions())
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    with torch.no_grad():
        wanted = classifier(torch.from_numpy(pictures)).numpy()
    assert np.abs(format_.load(path, LoadOptions())(pictures) - wanted).max() < 1e-5


class Directions(nn.Module):
    """Normalises vectors of which some are zero."""

    def __init__(self, *positional):
        super().__init__()
        self.positional, self.head = positional, nn.Linear(192, 3)

    def forward(self, x):
        kept = nn.functional.pad(x[:, :, :, :4], (0, 4))
        return self.head(nn.functional.normalize(kept, *self.positional).flatten(1))


@pytest.mark.parametrize("positional", [(), (2.0, 1, 1e-12)], ids=["defaults", "by position"])
def test_vectors_of_zeros_are_normalised_in_half_precision(positional, tmp_path):
    torch.manual_seed(0)
    classifier = Classifier(Directions(*positional), "abc", PreprocessSpec(image_size=8), check=False).eval()
    path = tmp_path / "model.onnx"
    format_.write(classifier, path, WriteOptions(precision="fp16"))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    with torch.no_grad():
        wanted = classifier(torch.from_numpy(pictures)).numpy()
    assert np.abs(format_.load(path, LoadOptions())(pictures) - wanted).max() < 5e-3


def test_attention_with_a_mask_of_each_window_is_refused(tmp_path):
    network = Windows(torch.zeros(1, 4, 2, 16, 16))
    classifier = Classifier(network, "abc", PreprocessSpec(image_size=8), check=False).eval()
    with refused("network-not-exported", "4D"):
        format_.write(classifier, tmp_path / "model.onnx", WriteOptions())


def test_one_large_value_hides_no_other_channel():
    from zoo_exporters.divergence import close

    own = torch.randn(2, 16, 10, 10).half()
    own[0, 0, 0, 0] = 2000
    got = own.clone()
    got[:, 5] = torch.randn(2, 10, 10).half()
    assert close(own, own)
    assert not close(own, got)
    assert not close(own, got, own.double())


def test_cuda_is_loaded_from_its_packages_before_a_session_opens(honest, monkeypatch, capsys):
    told = []

    class Session:
        def __init__(self, *_, providers):
            told.append(providers)

        def get_providers(self):
            return ["CPUExecutionProvider"]  # what onnxruntime falls back to without a word

    def preload():
        told.append("preloaded")
        print("Failed to load libcublas.so.13")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with refused("device-missing", "'cuda'", kind=ArtifactError):
        onnx_run.load(honest[0], LoadOptions(device="cuda"))
    assert told == ["preloaded", ["CUDAExecutionProvider"]]
    assert capsys.readouterr().out == ""
