from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.refusals import refused
from zoo.artifacts.heat_maps import CELLS, HeatMap, heat_map
from zoo.artifacts.heat_pictures import heat_colours, heat_picture
from zoo.artifacts.predictor import Predictor, load, open_runtime
from zoo.specs import LoadOptions, PreprocessSpec
from zoo.transforms.preprocess_numpy import Preprocessed, resize
from zoo.transforms.view import framed, model_view

SIZE = 32
SPECS = [
    PreprocessSpec(image_size=SIZE, resize=resize, crop_fraction=fraction, interpolation=interpolation)
    for resize in ("crop", "shorter", "squash")
    for fraction in (1.0, 0.875, 0.95, 0.7)
    for interpolation in ("bilinear", "bicubic")
]


def predictor(network, spec, classes=("other", "red", "blue")):
    """Around a function from float32 `[N, 3, S, S]` to logits."""
    card = SimpleNamespace(preprocess=spec, precision="fp32", classes=classes, exported={})
    return Predictor(card, Preprocessed(network, spec))


def reds(values):
    """Finds class `red` by red pixels above the mean, and class `blue` by blue ones."""
    red, blue = values[:, 0].clip(0).mean((1, 2)), values[:, 2].clip(0).mean((1, 2))
    return np.stack([np.full(len(values), 0.1), 10 * red, 10 * blue], 1).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.resize}-{spec.crop_fraction}-{spec.interpolation}")
def test_a_network_sees_a_framed_view_as_it_is(spec):
    views = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    assert np.abs(resize(framed(views, spec), spec).transpose(0, 2, 3, 1) - views).max() < 1e-3


@pytest.mark.parametrize("spec", SPECS[::3], ids=lambda spec: f"{spec.resize}-{spec.crop_fraction}")
def test_the_hottest_cell_lies_on_the_object(spec):
    model = predictor(reds, spec)
    random = np.random.default_rng(1)
    for _ in range(5):
        picture = np.zeros((70, 90, 3), np.uint8)
        top, left = random.integers(18, 30), random.integers(28, 40)
        picture[top : top + 18, left : left + 22, 0] = 255
        picture[12:20, 12:20, 2] = 255
        found = heat_map(model, picture)
        row, column = np.unravel_index(found.values.argmax(), found.values.shape)
        cell = SIZE // CELLS
        inside = found.view[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell, 0]
        assert found.label == "red" and found.values.shape == (CELLS, CELLS)
        assert inside.max() > 200


def test_another_class_has_another_map():
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[2:8, 2:8, 0] = 255
    picture[20:28, 20:28, 2] = 255
    model = predictor(reds, PreprocessSpec(image_size=SIZE))
    red, blue = (model.heat_map(picture, label) for label in ("red", "blue"))
    assert red.values[1, 1] > 0 > red.values[6, 6]
    assert blue.values[6, 6] > 0 > blue.values[1, 1]
    with refused("unknown-class", "rad", "Did you mean 'red'?"):
        model.heat_map(picture, "rad")


def test_a_network_that_looks_nowhere_has_a_flat_map():
    model = predictor(lambda values: np.tile(np.float32([0, 1, 2]), (len(values), 1)), PreprocessSpec(image_size=SIZE))
    found = model.heat_map(np.full((5, 5, 3), 9, np.uint8))
    assert not found.values.any()
    assert (heat_picture(found)[: 7 * SIZE, : 7 * SIZE] == heat_picture(found)[: 7 * SIZE, -7 * SIZE :]).all()


def test_a_file_for_tensors_without_maps_is_occluded_whatever_its_card_says():
    spec = PreprocessSpec(image_size=SIZE)
    exporter = SimpleNamespace(load=lambda path, options: reds)
    model = predictor(reds, spec)
    model.card.exported["heatmap"] = True
    model.runtime = open_runtime(exporter, Path("model"), "tensor", spec, LoadOptions())
    picture = np.full((SIZE, SIZE, 3), (200, 0, 0), np.uint8)
    assert model.heat_map(picture).method == "occlusion"


def test_progress_is_told_and_may_end_the_work():
    steps, model = [], predictor(reds, PreprocessSpec(image_size=SIZE))
    picture = np.full((9, 9, 3), 200, np.uint8)
    heat_map(model, picture, progress=lambda *step: steps.append(step))
    assert steps == [(27, 81), (54, 81), (81, 81)]

    def stop(done, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heat_map(model, picture, progress=stop)


def test_an_exported_file_has_heat_maps(model, bars):
    predictor = load(model)
    picture = next((bars / "test").rglob("*.png"))
    found = predictor.heat_map(picture)
    assert found.label == predictor.predict([picture])[0].label
    assert found.values.dtype == np.float32 and found.values.max() > 0
    assert found.view.shape == (24, 24, 3)


def test_a_heat_picture_shows_the_view_and_the_heat():
    values = np.zeros((2, 2), np.float32)
    values[0, 1] = 3
    found = HeatMap("cat", values, np.full((100, 100, 3), 50, np.uint8), "occlusion")
    picture = heat_picture(found)
    assert picture.shape == (300 + 24, 600 + 12, 3)
    assert (picture[:300, :300] == 50).all()
    hot, cold = picture[10, 312 + 290].astype(int), picture[290, 312 + 10].astype(int)
    assert np.abs(hot - (0.25 * 50 + 0.75 * np.array([253, 231, 37]))).max() < 12
    assert (cold == 50).all()
    assert (picture[-1, 312] == heat_colours(np.float32(0))).all() and (
        picture[-1, -1] == heat_colours(np.float32(1))
    ).all()


def test_a_grey_network_has_a_grey_view():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[..., 0] = 255
    assert (model_view(picture, PreprocessSpec(image_size=8, channels="grey")) == 76).all()
