"""`resize="shorter"` and `interpolation="bicubic"`, against Pillow, torchvision and PyTorch's own resize."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import resize, shorter_side
from zoo_exporters.program import quiet

SIDES = [(224, 256), (32, 37), (48, 48), (31, 32), (20, 45)]  # of the crop, and of the resize before it
SHAPES = [(1, 1), (3, 2), (7, 901), (48, 48), (256, 257), (375, 500), (641, 333)]
INTERPOLATIONS = ("bilinear", "bicubic")


def picture(height: int, width: int, *, low: int = 0, high: int = 256) -> np.ndarray:
    """uint8 `[H, W, 3]`: patches with hard edges."""
    coarse = np.random.default_rng(height * width).integers(low, high, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    return coarse.repeat(3, 0).repeat(3, 1)[:height, :width].copy()


def shorter(size: int, resized: int, interpolation: str) -> PreprocessSpec:
    return PreprocessSpec(image_size=size, resize="shorter", crop_fraction=size / resized, interpolation=interpolation)


def ours(pixels: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    return Preprocess(spec).resize(torch.from_numpy(pixels)[None])[0].permute(1, 2, 0).numpy()


def scripted(spec: PreprocessSpec) -> torch.jit.ScriptModule:
    with quiet():
        return torch.jit.script(Preprocess(spec))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("size", "resized"), SIDES)
def test_the_shorter_side_is_resized_and_the_centre_cut_as_torchvision_does(size, resized, interpolation):
    published = transforms.Compose(
        [transforms.Resize(resized, InterpolationMode(interpolation)), transforms.CenterCrop(size)]
    )
    for shape in SHAPES:
        pixels = picture(*shape)
        expected = np.asarray(published(Image.fromarray(pixels)), np.float32)
        distance = np.abs(ours(pixels, shorter(size, resized, interpolation)).round() - expected)
        assert distance.max() <= 1, shape  # Pillow rounds twice


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_what_the_crop_cuts_off_would_change_nothing(interpolation):
    """PyTorch resizes the whole picture; without contrast, no value reaches the limits of bicubic."""
    for size, resized in SIDES:
        for height, width in SHAPES:
            pixels = picture(height, width, low=100, high=150)
            sides = [resized * side // min(height, width) for side in (height, width)]
            planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
            whole = F.interpolate(planes, sides, mode=interpolation, antialias=True)
            expected = transforms.functional.center_crop(whole, [size, size])[0].permute(1, 2, 0).numpy()
            made = ours(pixels, shorter(size, resized, interpolation))
            assert np.abs(made - expected).max() < 0.01, (size, height, width)


@pytest.mark.parametrize(
    "options", [{"resize": "squash"}, {"resize": "crop"}, {"resize": "crop", "crop_fraction": 0.6}]
)
def test_bicubic_is_pillows_also_for_the_other_ways(options):
    spec = PreprocessSpec(image_size=40, interpolation="bicubic", **options)
    for height, width in SHAPES:
        pixels = picture(height, width)
        image = Image.fromarray(pixels)
        if spec.resize == "crop":
            side = max(1, int(min(height, width) * spec.crop_fraction))
            left, top = (width - side) // 2, (height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        expected = np.asarray(image.resize((40, 40), Image.Resampling.BICUBIC), np.float32)
        assert np.abs(ours(pixels, spec).round() - expected).max() <= 1, (height, width)


@pytest.mark.parametrize("resized", [48, 55])
def test_no_value_leaves_the_range(resized):
    pixels = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (90, 120, 3))
    spec = shorter(48, resized, "bicubic")
    for made in (ours(pixels, spec), resize(pixels[None], spec)):
        assert (made.min(), made.max()) == (0, 255)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_narrow_picture_takes_no_more_memory_than_it_has_pixels(interpolation):
    pixels = picture(1, 3_000_000)  # resized as a whole: 256 x 768,000,000 pixels
    assert ours(pixels, shorter(224, 256, interpolation)).shape == (224, 224, 3)


@pytest.mark.parametrize(("size", "fraction", "side"), [(224, 0.95, 235), (224, 0.9, 248), (256, 256 / 257, 257)])
def test_the_shorter_side_is_rounded_down_as_timm_does(size, fraction, side):
    assert shorter_side(PreprocessSpec(image_size=size, resize="shorter", crop_fraction=fraction)) == side


def test_a_crop_of_nothing_has_a_bound():
    spec = shorter(32, 32 * 10**9, "bicubic")
    assert shorter_side(spec) == 32 * 4096
    assert np.isfinite(ours(picture(30, 40), spec)).all()


def test_the_defaults_are_still_pytorchs_own_resize():
    images = torch.from_numpy(np.stack([picture(375, 500)] * 2))
    planes = images.permute(0, 3, 1, 2)
    for spec, seen in (
        (PreprocessSpec(image_size=32, crop_fraction=0.875), planes[:, :, 23:351, 86:414]),
        (PreprocessSpec(image_size=32, resize="squash"), planes),
    ):
        expected = F.interpolate(seen.float(), (32, 32), mode="bilinear", align_corners=False, antialias=True)
        assert torch.equal(Preprocess(spec).resize(images), expected)
        assert "matmul" not in str(scripted(spec).resize.inlined_graph)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_in_float64_it_measures_what_float32_rounds(interpolation):
    spec = shorter(32, 37, interpolation)
    for shape in SHAPES:
        images = torch.from_numpy(picture(*shape))[None]
        exact = Preprocess(spec).double()(images)
        assert exact.dtype == torch.float64
        assert 0 < (exact - Preprocess(spec)(images)).abs().max() < 1e-3 or min(shape) < 4


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_scripted_it_is_the_same(interpolation):
    module, program = Preprocess(shorter(32, 37, interpolation)), scripted(shorter(32, 37, interpolation))
    for shape in SHAPES:
        images = torch.from_numpy(picture(*shape))[None]
        assert torch.equal(program(images), module(images))
