"""Every weight in an ONNX file is held against the classifier's, products with tokens included."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.networks import Tokens
from zoo.models.classifier import Classifier
from zoo.specs import Calibration, PreprocessSpec, WriteOptions
from zoo_exporters.onnx import write
from zoo_exporters.onnx_weights import changed_weight, coverage


def classifier_of(network: torch.nn.Module, size: int) -> Classifier:
    """Weights that no two layers have in common: torch.onnx keeps one of those that are equal."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Classifier(network, tuple("abc"), PreprocessSpec(image_size=size), check=False).eval()


def written(classifier, precision, path):
    pictures = [np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8) for seed in range(8)]
    calibrated = Calibration(pictures=pictures, method="minmax", budget=0, loss=lambda _: 0.0)
    options = WriteOptions(precision=precision, calibration=calibrated if precision == "int8" else None)
    return write(classifier, path, options).divergence.program


@pytest.fixture(scope="module", params=["fp32", "fp16", "int8"])
def tokens(request, tmp_path_factory):
    """A small transformer, its program, and the honest file."""
    torch.manual_seed(0)
    classifier = classifier_of(Tokens(), 16)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return classifier, written(classifier, request.param, path), path


def test_no_weight_is_left_out(tokens):
    classifier, program, path = tokens
    assert changed_weight(classifier, program, path) is None
    assert coverage(classifier, program, path) > 0.997  # the rest are single numbers, and mean and deviation of pixels


@pytest.mark.parametrize(
    "name",
    [
        "network.patches.weight",
        "network.position",
        "network.qkv.weight.T",
        "network.qkv.bias",
        "network.mlp.0.weight",
        "network.mlp.3.weight.T",
        "network.scale",
        "network.head.weight",
        "permute_2",  # the table, looked up
    ],
)
def test_one_changed_weight_is_named(tokens, name, tmp_path):
    classifier, program, path = tokens
    model = onnx.load(path)
    spoilt = next(one for one in model.graph.initializer if one.name.removesuffix("_quantized") == name)
    values = numpy_helper.to_array(spoilt).copy()
    index = np.unravel_index(np.abs(values.astype(float)).argmax(), values.shape)
    values[index] = values[index] - 1 if values.dtype.kind in "iu" else 1.01 * values[index]
    spoilt.CopyFrom(numpy_helper.from_array(values, spoilt.name))
    onnx.save(model, tmp_path / "model.onnx")
    sentence = f"The file's {name} is not the classifier's."
    assert changed_weight(classifier, program, tmp_path / "model.onnx") == sentence


class Masked(torch.nn.Module):
    """Causal attention with infinite masks, a plain tensor, and a table of biases computed where large terms cancel."""

    def __init__(self):
        super().__init__()
        self.patches, self.qkv = torch.nn.Conv2d(3, 8, 4, 4), torch.nn.Linear(8, 24)
        self.near, self.far = torch.nn.Linear(2, 16), torch.nn.Linear(16, 1)
        self.gain = torch.rand(8) + 0.5
        self.head = torch.nn.Linear(8, 3)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        count = tokens.shape[1]
        q, k, v = self.qkv(tokens).chunk(3, 2)
        places = torch.arange(count, dtype=torch.float32)
        where = torch.stack([places[:, None] - places[None], places[None] - places[:, None]], -1)
        bias = 16 * torch.sigmoid(self.far(torch.relu(self.near(where) + 1000)))[..., 0]
        mask = torch.full((count, count), -torch.inf).triu(1)
        attended = (q @ k.transpose(1, 2) + bias + mask).softmax(2) @ v
        return self.head((attended * self.gain).mean(1))


def test_masks_and_constants_that_cancel_do_not_count_as_changes(tmp_path):
    torch.manual_seed(0)
    classifier = classifier_of(Masked(), 16)
    with torch.no_grad():
        classifier.network.far.bias -= 1000 * classifier.network.far.weight.sum()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    found = write(classifier, tmp_path / "model.onnx", WriteOptions()).divergence
    assert found(tmp_path / "model.onnx", pictures) is None
    model = onnx.load(tmp_path / "model.onnx")
    gain = next(one for one in model.graph.initializer if one.name == "network.gain")
    gain.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(gain) * np.float32(1.01), gain.name))
    onnx.save(model, tmp_path / "model.onnx")
    assert changed_weight(classifier, found.program, tmp_path / "model.onnx") == (
        "The file's network.gain is not the classifier's."
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    ("name", "share"),
    # Of swin_v2's networks for position biases, torch.onnx computes a half and gives it no name.
    [("convnext_tiny", 0.999), ("maxvit_t", 0.999), ("swin_t", 0.999), ("swin_v2_t", 0.95), ("vit_b_16", 0.999)],
)
def test_transformers_are_covered(name, share, precision, tmp_path):
    from torchvision.models import get_model

    torch.manual_seed(0)
    classifier = classifier_of(get_model(name, num_classes=3), 224 if name in ("vit_b_16", "maxvit_t") else 96)
    program = written(classifier, precision, tmp_path / "model.onnx")
    assert changed_weight(classifier, program, tmp_path / "model.onnx") is None
    assert coverage(classifier, program, tmp_path / "model.onnx") > share
