"""timm's networks keep visionzoo's rules, and its names are known without timm."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from timm.models import get_pretrained_cfg

from visionzoo_timm import names, sizes
from visionzoo_timm.backbones import spec
from visionzoo_timm.configs import known
from zoo.errors import UsageError
from zoo.registry import registry
from zoo.registry.validation import PROVIDED_NAME, spec_fault
from zoo.testing import check_backbone

LISTING = """
import sys
from visionzoo_timm import plugin
(provider,) = plugin.zoo_backbones()
listed = list(provider.names())
print(len(listed) > 3000, "convnext_nano.in12k_ft_in1k" in listed, [m for m in ("torch", "timm") if m in sys.modules])
"""


def test_listing_imports_neither_torch_nor_timm():
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert done.stdout == "True True []\n"


def test_the_file_of_names_is_that_of_the_installed_timm():
    first, *listed = names.FILE.read_text().splitlines()
    assert first == names.header(timm.__version__)
    assert listed == names.in_registry()


def test_another_timm_is_asked_for_its_names(monkeypatch):
    monkeypatch.setattr(names, "version", lambda _: "9.9")
    monkeypatch.setattr(names, "in_registry", lambda: ["new"])
    assert names.names() == ["new"]


def test_each_listed_name_has_a_valid_spec_and_each_other_name_of_timm_a_reason():
    listed = set(names.names())
    for name in known():
        if name in listed:
            assert spec_fault(spec(name), PROVIDED_NAME) is None
        else:
            with pytest.raises(UsageError, match=f"timm/{name} "):
                spec(name)
    assert set(timm.list_models()) <= set(known())


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("crossvit_9_240", "several-heads", "has 2 heads (head.0, head.1)"),
        ("deit_tiny_distilled_patch16_224", "several-heads", "head_dist"),
        ("qwen3_vit_88m_enc", "no-classifier", "has no classifier"),
        ("vit_base_patch16_sapiens2", "not-square", "1024 x 768"),
        ("vit_base_resnet50_384", "renamed", "timm/vit_base_r50_s16_384"),
    ],
)
def test_refused_by_name(name, code, said):
    with pytest.raises(UsageError) as caught:
        registry().backbone(f"timm/{name}")
    assert caught.value.code == code
    assert said in str(caught.value)


def test_names_with_and_without_a_tag():
    plain, tagged = (registry().backbone(f"timm/{name}").spec for name in ("test_vit2", "test_vit2.r160_in1k"))
    assert plain.name == "timm/test_vit2"
    assert plain.weights.name == tagged.weights.name == "test_vit2.r160_in1k"
    assert spec("test_vit2.other") is spec("resnet") is None


@pytest.mark.parametrize(
    ("name", "size", "fixed", "weighted"),
    [
        ("test_vit", 160, True, True),
        ("test_resnet", 32, False, True),
        ("gernet_l", 32, False, True),
        ("lambda_resnet50ts", 128, False, True),
        ("hrnet_w18", 224, True, True),
        ("inception_v3", 80, False, True),
        ("resnet10t.c3_in1k", 32, False, True),
        ("test_byobnet", 32, False, True),
        ("resnet14t", 32, False, True),
        ("vit_tiny_patch16_384", 384, True, True),
        ("levit_512", 224, True, False),
    ],
)
def test_sizes(name, size, fixed, weighted):
    found = spec(name)
    assert (found.min_image_size, found.fixed_image_size, bool(found.weights)) == (size, fixed, weighted)


@pytest.mark.parametrize("name", ["inception_v3", "dla46x_c", "test_resnet"])
def test_the_file_of_sizes_has_what_is_measured(name):
    assert sizes.measured().get(name, "32") == sizes.measure(name)


def test_licences_are_those_that_timm_records():
    assert spec("convnextv2_atto.fcmae").weights.licence == (
        "timm/convnextv2_atto.fcmae; licence as timm records it: cc-by-nc-4.0"
    )


STAGES = {
    "test_resnet": "stem layer1 layer2 layer3 layer4 head",
    "test_vit": "stem blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 blocks.5 head",
    "test_convnext": "stem stages.0 stages.1 stages.2 stages.3 neck head",
    "test_efficientnet": "stem blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 head",
    "test_nfnet": "stem stages.0 stages.1 stages.2 stages.3 head",
    "test_mambaout": "stem stages.0 stages.1 stages.2 stages.3 neck head",
}


@pytest.mark.parametrize("name", STAGES)
def test_stages_from_stem_to_head(name):
    found = spec(name)
    network = found.build(3)
    stages = found.stages(network)
    assert [stage.name for stage in stages] == STAGES[name].split()
    assert stages[-1].members == (get_pretrained_cfg(name).classifier,)
    for entry, _ in (*network.named_parameters(), *network.named_buffers()):
        assert sum(stage.holds(entry) for stage in stages) == 1, entry


def test_the_stages_of_every_layer_run_in_their_order():
    found = spec("test_efficientnet")
    network = found.build(3).eval()
    finished = []
    for stage in found.stages(network):
        network.get_submodule(stage.members[-1]).register_forward_hook(
            lambda *_, name=stage.name: finished.append(name)
        )
    with torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    assert finished == STAGES["test_efficientnet"].split()


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("test_resnet", ("onnx",)),
        ("test_vit2", ()),
        ("test_convnext", ()),
        ("test_efficientnet", ()),
        ("resnetv2_18", ()),
    ],
)
def test_the_rules_of_backbones(name, formats):
    report = check_backbone(spec(name), formats=formats, weights=False)
    assert {f"exports-{each}" for each in formats} <= set(report.kept)
    assert {"valid", "builds", "answers", "trains", "differs", "repeats", "freezes"} <= set(report.kept)


def test_the_head_that_is_a_convolution_returns_logits():
    found = spec("resnetv2_50x1_bit")
    network = found.build(3).eval()
    head = network.get_submodule(found.head)
    caught = []
    head.register_forward_hook(lambda _, __, output: caught.append(output))
    with torch.inference_mode():
        assert torch.equal(network(torch.randn(2, 3, 32, 32)), caught[0])
    assert set(found.build(3).state_dict()) == set(timm.create_model("resnetv2_50x1_bit", num_classes=3).state_dict())
