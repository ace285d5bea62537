"""Every network of torchvision keeps the contract of `BackboneSpec`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec
from zoo.transforms.preprocess_numpy import shorter_side
from zoo_torchvision.backbones import specs
from zoo_torchvision.catalogue import CATALOGUE

SPECS = {spec.name: spec for spec in specs()}
# The smallest of each family, and where builders differ inside a family.
SMALL = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
]


class EmptyOnMeta(TorchFunctionMode):
    """Parameters without memory. The device context `meta` would stop RegNet, which computes its widths."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        device = {"device": "meta"} if func is torch.empty else {}
        return func(*args, **{**(kwargs or {}), **device})


def layers(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if list(part.parameters(recurse=False))]


def test_every_classification_network_is_there():
    assert set(SPECS) == set(torchvision.models.list_models(module=torchvision.models))


def test_small_nets_cover_every_family():
    assert all(set(rows) & set(SMALL) for rows in CATALOGUE.values())


def test_listing_imports_neither_torch_nor_torchvision():
    code = (
        "import sys; from zoo_torchvision import plugin; names = [s.name for s in plugin.zoo_backbones()];"
        "print(len(names), [m for m in ('torch', 'torchvision', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(len(SPECS)), "[]\n"]


@pytest.mark.parametrize("name", SPECS)
def test_catalogue_says_what_torchvision_says(name):
    spec = SPECS[name]
    assert spec.weights is not None
    published = torchvision.models.get_model_weights(name)
    weights = published[spec.weights.name]
    assert weights is published.DEFAULT or name == "vit_h_14"
    transforms = weights.transforms()
    assert [spec.weights.image_size] == transforms.crop_size
    seen = PreprocessSpec(
        image_size=spec.weights.image_size,
        resize=spec.weights.resize,
        interpolation=spec.weights.interpolation,
        crop_fraction=spec.weights.crop_fraction,
    )
    assert (seen.resize, [shorter_side(seen)]) == ("shorter", transforms.resize_size)
    assert (seen.interpolation, transforms.antialias) == (transforms.interpolation.value, True)
    assert spec.description.endswith(f", {round(weights.meta['num_params'] / 1e6, 1):g} million parameters")
    assert ("not for commercial use" in spec.weights.licence) == ("license" in weights.meta)
    if name not in ("googlenet", "inception_v3"):  # see test_half_scaling_is_what_transform_input_does
        assert (list(spec.weights.mean), list(spec.weights.std)) == (transforms.mean, transforms.std)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_half_scaling_is_what_transform_input_does(name):
    spec = SPECS[name]
    network = torchvision.models.get_model(name, transform_input=True, init_weights=False).eval()
    seen = []
    first = network.get_submodule(spec.stages(network)[0].members[0])
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    pixels = torch.rand(2, 3, 75, 75)

    def normalise(mean, std):
        return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)

    with torch.inference_mode():
        network(normalise(IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(normalise(spec.weights.mean, spec.weights.std), seen[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", SPECS)
def test_stages_and_head(name):
    spec = SPECS[name]
    with EmptyOnMeta():
        network = spec.build(7)
    (last,) = layers(network.get_submodule(spec.head))
    assert isinstance(last, nn.Linear | nn.Conv2d)
    assert last.weight.shape[0] == 7
    assert last.bias is not None

    stages = spec.stages(network)
    assert (stages[-1].name, stages[-1].members) == ("head", (spec.head,))
    assert len({stage.name for stage in stages}) == len(stages) >= 4
    members = [member for stage in stages for member in stage.members]
    entries = [key for key, _ in (*network.named_parameters(), *network.named_buffers())]
    known = {path for path, _ in network.named_modules()} | set(entries)
    assert set(members) <= known
    for entry in entries:
        owners = [member for member in members if entry == member or entry.startswith(f"{member}.")]
        assert len(owners) == 1, (entry, owners)


@pytest.mark.parametrize("name", SMALL)
def test_forward_pass(name, monkeypatch):
    monkeypatch.setattr(
        nn.init, "trunc_normal_", lambda tensor, *_, **__: nn.init.normal_(tensor, std=0.02)
    )  # ten times faster
    spec = SPECS[name]
    network = spec.build(5)
    paths = [member for stage in spec.stages(network) for member in stage.members]
    modules = {path: module for path, module in network.named_modules() if path in paths}
    finished, features = [], []
    for path, module in modules.items():
        module.register_forward_hook(lambda *_, path=path: finished.append(path))
    head = network.get_submodule(spec.head)
    head.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))

    # In training mode, in which batch norm wants more than one value; without SqueezeNet's dropout in the head.
    head.eval()
    size = spec.min_image_size
    with torch.no_grad():
        logits = network(torch.randn(2, 3, size, size))
        assert logits.shape == (2, 5)
        assert finished == [path for path in paths if path in modules]
        assert torch.equal(head(features[0]), logits)

        wrong = size - 4 if spec.fixed_image_size else size - 1  # MaxViT quarters 221 to 224 alike
        with pytest.raises((RuntimeError, ValueError, AssertionError)):
            network(torch.randn(2, 3, wrong, wrong))
