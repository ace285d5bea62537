"""How a training resizes pictures: as the weights were evaluated, or as the recipe says."""

from dataclasses import replace

import pytest

from zoo.data.seen import resize_in_words
from zoo.models.pretrained import WeightsReport
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.specs import DatasetSpec, PreprocessSpec, WeightsSpec
from zoo.training.plan import make_plan
from zoo.training.summary import resize_with_reasons

PHOTOS = DatasetSpec(name="photos", load=lambda _: None)
DIGITS = DatasetSpec(name="digits", load=lambda _: None, native_size=28, channels="grey", augment="digits")
CUBIC = WeightsSpec(name="x", load=dict, image_size=32, crop_fraction=0.8, resize="shorter", interpolation="bicubic")
OLDER = WeightsSpec(name="x", load=dict, image_size=32, crop_fraction=0.8)
SQUASHED = replace(CUBIC, resize="squash", crop_fraction=1.0)
OWN, SMALL = "the weights' own", "small pictures, of which nothing is cut off"


@pytest.mark.parametrize(
    ("options", "data", "weights", "seen", "reasons"),
    [
        # Without pretrained weights: as ever.
        ({}, PHOTOS, None, (160, "crop", 0.875, "bilinear"), {}),
        ({}, DIGITS, None, (28, "crop", 1.0, "bilinear"), {}),
        ({"resize": "squash"}, PHOTOS, None, (160, "squash", 1.0, "bilinear"), {}),
        ({"resize": "shorter"}, PHOTOS, None, (160, "shorter", 0.875, "bilinear"), {}),
        ({"interpolation": "bicubic"}, PHOTOS, None, (160, "crop", 0.875, "bicubic"), {}),
        # With weights: as they were evaluated.
        ({}, PHOTOS, OLDER, (32, "crop", 0.8, "bilinear"), {"resize": OWN, "interpolation": OWN}),
        ({}, PHOTOS, CUBIC, (32, "shorter", 0.8, "bicubic"), {"resize": OWN, "interpolation": OWN}),
        ({}, PHOTOS, SQUASHED, (32, "squash", 1.0, "bicubic"), {"resize": OWN, "interpolation": OWN}),
        ({"image_size": 64}, PHOTOS, CUBIC, (64, "shorter", 0.8, "bicubic"), {"resize": OWN, "interpolation": OWN}),
        ({"interpolation": "bilinear"}, PHOTOS, CUBIC, (32, "shorter", 0.8, "bilinear"), {"resize": OWN}),
        ({"resize": "shorter"}, PHOTOS, CUBIC, (32, "shorter", 0.8, "bicubic"), {"interpolation": OWN}),
        # As recipes of older runs have it.
        ({"resize": "crop"}, PHOTOS, CUBIC, (32, "crop", 0.8, "bilinear"), {}),
        ({"resize": "squash"}, PHOTOS, CUBIC, (32, "squash", 1.0, "bilinear"), {}),
        # Small pictures: nothing is cut off, and there is nothing to sharpen.
        ({}, DIGITS, CUBIC, (96, "crop", 1.0, "bilinear"), {"resize": SMALL}),
        ({"resize": "shorter"}, DIGITS, CUBIC, (96, "shorter", 1.0, "bilinear"), {}),
    ],
)
def test_pictures_are_resized_as_the_weights_were_evaluated(options, data, weights, seen, reasons):
    backbone = registry().backbone("tiny").spec
    chosen = Recipe.make(backbone="tiny", dataset="x", device="cpu", **options)
    report = WeightsReport(name="x", pretrained=weights is not None, spec=weights)
    made = make_plan(chosen, backbone, data, report, backbone.build(3))
    spec = made.preprocess
    assert (spec.image_size, spec.resize, spec.crop_fraction, spec.interpolation) == seen
    assert {choice: made.reasons[choice] for choice in ("resize", "interpolation") if choice in made.reasons} == reasons
    said = resize_with_reasons(made)
    assert resize_in_words(spec) in said
    assert all(reason in said for reason in reasons.values())
    assert said.count("(") == 1 + bool(reasons)


def test_resizes_have_words():
    spec = PreprocessSpec(image_size=224, crop_fraction=0.875)
    assert resize_in_words(spec) == "centre cut out, then resized (bilinear)"
    assert resize_in_words(replace(spec, crop_fraction=1.0)) == "whole square cut out, then resized (bilinear)"
    assert (
        resize_in_words(replace(spec, resize="squash", interpolation="bicubic")) == "whole picture squashed (bicubic)"
    )
    shorter = replace(spec, resize="shorter", interpolation="bicubic")
    assert resize_in_words(shorter) == "shorter side resized to 256 pixels (bicubic), then the centre cut out"
