"""A training, its preview and a check say how much of the pictures a centre crop shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app
from zoo.data import ArrayPictures, FilePictures, sources
from zoo.data import seen as module
from zoo.data.seen import crop_advice, default_crop, median_of, median_size, seen_in_words, share_seen
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.specs import PreprocessSpec
from zoo.training.advice import advice_before
from zoo.training.distributed import World
from zoo.training.preview import make_preview
from zoo.training.setup import prepare, resolve
from zoo.training.summary import summary
from zoo.transforms.preprocess_numpy import resize


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Pictures of 640 x 120 and a square one, in two classes."""
    root = tmp_path_factory.mktemp("wide")
    for name in ("a", "b"):
        (root / "train" / name).mkdir(parents=True)
        for index in range(5):
            level = 40 * index + 20 * (name == "b")
            Image.new("L", (640, 120) if index else (50, 50), level).save(root / "train" / name / f"{index}.png")
    return root


def setup_of(folder, **options):
    options = {"image_size": 24, "weights": "none", "device": "cpu"} | options
    return prepare(resolve(Recipe.make(backbone="tiny", dataset=str(folder), **options)), Reporter(quiet=True))


@pytest.mark.parametrize(("size", "fraction"), [((640, 120), 0.875), ((120, 640), 1.0), ((300, 300), 0.875)])
def test_the_share_is_that_of_the_pixels_that_change_the_result(size, fraction):
    width, height = size
    spec = PreprocessSpec(image_size=8, crop_fraction=fraction)
    dark = resize(np.zeros((1, height, width, 3), np.uint8), spec)

    def is_seen(*lit):
        picture = np.zeros((1, height, width, 3), np.uint8)
        picture[0, lit[0], lit[1]] = 255
        return bool((resize(picture, spec) != dark).any())

    columns = sum(is_seen(slice(None), x) for x in range(width))
    rows = sum(is_seen(y, slice(None)) for y in range(height))
    assert share_seen(size, fraction) == pytest.approx(columns * rows / (width * height), abs=0.005)


def test_the_words_and_the_threshold():
    crop = PreprocessSpec(image_size=8)
    assert seen_in_words(crop, (640, 120)) == "sees 19% of the median picture (640 x 120)"
    assert "--resize squash" in crop_advice(crop, (640, 120))
    assert crop_advice(crop, (640, 480)) == ""
    for ordinary in ((3000, 2000), (1920, 1080)):  # cameras: networks are used to their crops
        assert crop_advice(PreprocessSpec(image_size=8, crop_fraction=0.875), ordinary) == ""
    squash = PreprocessSpec(image_size=8, resize="squash")
    assert seen_in_words(squash, (640, 120)) == crop_advice(squash, (640, 120)) == crop_advice(crop, None) == ""
    assert median_of([(9, 9), (1, 1), (3, 3), (2, 2)]) == (2, 2)
    assert (default_crop(28), default_crop(None)) == (1.0, 0.875)


def test_the_median_is_of_upright_pictures_and_of_headers_alone(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [tmp_path / f"{index}.jpg" for index in range(500)]
    Image.new("L", (20, 10)).save(paths[0], exif=exif)
    for path in paths[1:]:
        path.symlink_to(paths[0])
    monkeypatch.setattr("zoo.images.read.upright_pixels", lambda *_: pytest.fail("it decodes"))
    read, headers = [], sources.read_header
    monkeypatch.setattr(sources, "read_header", lambda path: read.append(path) or headers(path))
    assert median_size(FilePictures(paths)) == (10, 20)
    assert len(read) == len(set(read)) == module.MOST_HEADERS
    assert median_size(ArrayPictures(np.zeros((3, 5, 7), np.uint8))) == (7, 5)
    paths[0].write_bytes(b"no picture")
    assert median_size(FilePictures(paths)) is None


def test_a_training_says_it_in_its_summary_and_its_advice(wide):
    setup = setup_of(wide)
    assert "sees 14% of the median picture (640 x 120)" in summary(setup, World("cpu"))["image size"]
    assert any("--resize squash" in sentence for sentence in advice_before(setup))
    squashed = setup_of(wide, resize="squash")
    assert "sees" not in summary(squashed, World("cpu"))["image size"]
    assert not any("squash" in sentence for sentence in advice_before(squashed))


def test_a_preview_says_it(wide, capsys):
    recipe = Recipe.make(backbone="tiny", dataset=str(wide), image_size=24, weights="none")
    made = make_preview(recipe, Reporter(), count=2, views=1)
    assert "sees 14% of the median picture (640 x 120)" in made.lines
    assert "--resize squash" in capsys.readouterr().err


def test_a_check_says_it_for_each_split_and_warns_for_train(wide, bars):
    done = CliRunner().invoke(app, ["check", str(wide), "--json"])
    found = json.loads(done.stdout)
    assert found["splits"]["train"]["seen"] == 0.144
    (problem,) = (each for each in found["problems"] if each["kind"] == "crop")
    assert "14% of the median picture in train (640 x 120)" in problem["message"]
    assert "--resize squash" in problem["remedy"]
    done = CliRunner().invoke(app, ["check", str(bars)])
    assert "crop shows" in done.stdout
    assert "squash" not in done.stdout
