"""Weights in timm's own format load from a folder, and missing ones are named; pictures look as they do in timm."""

from __future__ import annotations

import os
from math import floor
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg, save_for_hf

from visionzoo_timm import weights
from visionzoo_timm.backbones import spec
from visionzoo_timm.configs import known, resize_of
from zoo.errors import WeightsError
from zoo.models.pretrained import load_weights
from zoo.specs import PreprocessSpec, WeightsSpec
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import shorter_side

NAME = "test_resnet"
TAG = "r160_in1k"
# By name: what its weights want. The interpolations, modes and fractions that timm has.
PREPROCESSING = {
    "test_resnet": ("shorter", "bilinear", 160),
    "test_vit": ("shorter", "bicubic", 160),
    "resnet18.tv_in1k": ("shorter", "bilinear", 224),
    "inception_v3.tf_in1k": ("shorter", "bicubic", 299),
    "vit_base_patch16_clip_224.openai": ("shorter", "bicubic", 224),
    "convnextv2_atto.fcmae_ft_in1k": ("shorter", "bicubic", 224),
    "maxvit_tiny_tf_384.in1k": ("squash", "bicubic", 384),
    "mobilenetv3_large_100.miil_in21k": ("shorter", "bilinear", 224),
}


def published(seed: int = 0) -> torch.nn.Module:
    """A network as its publisher has it: 1000 classes, weights that are not the initial ones."""
    torch.manual_seed(seed)
    network = timm.create_model(NAME)
    with torch.no_grad():
        for each in network.state_dict().values():
            each.add_(torch.rand_like(each) / 10) if each.is_floating_point() else each.fill_(7)
    return network.eval()


def features(network: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval().forward_features(torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64))


@pytest.mark.parametrize("as_folder", [True, False])
def test_weights_saved_by_timm_fill_the_network(tmp_path, monkeypatch, as_folder):
    network = published()
    if as_folder:
        save_for_hf(network, tmp_path / f"{NAME}.{TAG}", safe_serialization=True)
    else:
        torch.save({"state_dict": network.state_dict()}, tmp_path / f"{NAME}.{TAG}.pth")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    found = spec(NAME)
    built = found.build(3)
    before = torch.get_rng_state()
    report = load_weights(built, found, "pretrained")
    assert torch.equal(torch.get_rng_state(), before)
    assert (report.name, report.pretrained) == (f"{NAME}.{TAG}", True)
    assert report.licence.endswith("apache-2.0")
    assert torch.equal(features(built), features(network))
    assert built.fc.out_features == 3


def test_a_file_of_your_own_loads_with_its_head(tmp_path):
    network = timm.create_model(NAME, num_classes=3)
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    found = spec(NAME)
    built = found.build(3)
    load_weights(built, found, str(tmp_path / "mine.pt"))
    assert torch.equal(built.fc.weight, network.fc.weight)


@pytest.mark.parametrize("name", ["repvit_m1", "swiftformer_xs"])
def test_the_second_head_of_published_weights_is_left_out(tmp_path, monkeypatch, name):
    two = timm.create_model(name)
    torch.save(two.state_dict(), tmp_path / f"{name}.{get_pretrained_cfg(name).tag}.pth")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    found = spec(name)
    built = found.build(3)
    assert load_weights(built, found, "pretrained").pretrained
    assert torch.equal(features(built), features(two))
    assert not any("head_dist" in name for name in built.state_dict())


def test_missing_weights_are_named_and_auto_goes_on(tmp_path):
    found = spec(NAME)
    with pytest.raises(
        WeightsError, match=r"huggingface\.co cannot be reached .* ZOO_TIMM_WEIGHTS names has them"
    ) as caught:
        load_weights(found.build(3), found, "pretrained")
    assert caught.value.code == "weights-unavailable"
    report = load_weights(found.build(3), found, "auto")
    assert not report.pretrained
    assert report.note.endswith("The network starts from random weights.")


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    place = tmp_path / f"{NAME}.{TAG}"
    save_for_hf(published(), place, safe_serialization=True)
    file = place / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    found = spec(NAME)
    with pytest.raises(WeightsError, match=f"timm cannot load '{place}'"):
        load_weights(found.build(3), found, "pretrained")


def test_weights_of_another_network_are_refused(tmp_path, monkeypatch):
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / f"{NAME}.{TAG}.pt")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    found = spec(NAME)
    with pytest.raises(WeightsError, match="timm cannot load") as caught:
        load_weights(found.build(3), found, "pretrained")
    assert caught.value.code == "weights-unavailable"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("dm_nfnet_f0", "squashed to 213 pixels before 192 are cut out"),
        ("volo_d5_512", "black border, because its crop fraction is 1.15"),
        ("deepseek_vit_412m", "its crop mode is 'border'"),
    ],
)
def test_weights_that_need_another_preprocessing_are_never_used(name, said):
    found = spec(name)
    assert said in found.description
    with pytest.raises(OSError, match=said):
        found.weights.load()


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    made = []
    for height, width in ((300, 401), (500, 333), (97, 61), (224, 224)):
        coarse = rng.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8)
        made.append(np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)))
    return made


def as_zoo(found: WeightsSpec, picture: np.ndarray) -> torch.Tensor:
    preprocess = Preprocess(
        PreprocessSpec(
            image_size=found.image_size,
            mean=found.mean,
            std=found.std,
            resize=found.resize,
            crop_fraction=found.crop_fraction,
            interpolation=found.interpolation,
        )
    )
    return preprocess(torch.from_numpy(picture[None].copy()))[0]


def largest_difference(name: str, made: list[np.ndarray]) -> float:
    """In levels of 255, after rounding: Pillow rounds to whole levels, along the rows and along the columns."""
    config = resolve_data_config({}, pretrained_cfg=get_pretrained_cfg(name).to_dict())
    transform = create_transform(**config, is_training=False)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    found = spec(name).weights
    pairs = ((as_zoo(found, each), transform(Image.fromarray(each))) for each in made)
    levels = ([((each * std + mean) * 255).round() for each in pair] for pair in pairs)
    return max(float((ours - timms).abs().max()) for ours, timms in levels)


@pytest.mark.parametrize("name", PREPROCESSING)
def test_pictures_look_as_they_do_in_timm(name):
    found = spec(name).weights
    assert (found.resize, found.interpolation, found.image_size) == PREPROCESSING[name]
    assert largest_difference(name, pictures()) <= 1


def test_the_shorter_side_is_that_of_timm_for_all_weights():
    for name, config in known().items():
        mode, fraction, cannot = resize_of(config)
        if mode == "shorter" and not cannot:
            size = config.input_size[-1]
            resized = PreprocessSpec(image_size=size, resize=mode, crop_fraction=fraction)
            assert shorter_side(resized) == floor(size / config.crop_pct), name


@pytest.mark.slow
@pytest.mark.parametrize("name", PREPROCESSING)
def test_real_photos_look_as_they_do_in_timm(name):
    root = os.environ.get("ZOO_DATA_ROOT")
    found = sorted(Path(root).glob("hymenoptera_data/**/*.jpg"))[:20] if root else []
    if len(found) < 20:
        pytest.skip("ZOO_DATA_ROOT names no folder with 20 photos in hymenoptera_data")
    assert largest_difference(name, [np.asarray(Image.open(path).convert("RGB")) for path in found]) <= 1
