"""Pictures of more than 8 bits are read by one rule for all, which never looks at their pixels."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

import zoo
from zoo.artifacts.card import Card
from zoo.cli import app
from zoo.data import FilePictures, Split
from zoo.data.decoded_split import make_stores
from zoo.data.decoding import Budgets
from zoo.errors import UnreadablePictureError, UsageError
from zoo.exporting.pipeline import export
from zoo.images import as_picture, read_picture
from zoo.images.values import ValueLog
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.runs.run import Run
from zoo.specs import PreprocessSpec

from ..cards import ANY, any_card
from ..conftest import draw
from ..here import artifacts_here
from ..refusals import refused
from .tiff import tiff

RAMP = np.arange(16).reshape(2, 8)
LEVELS = (17 * RAMP).tolist()  # from black to white


def values(low, high, kind):
    return np.linspace(low, high, 16).astype(kind).reshape(2, 8)


def grey(data, **options):
    return read_picture(data, **options)[:, :, 0].tolist()


def found(*pictures, **options):
    log = ValueLog()
    for number, data in enumerate(pictures):
        read_picture(data, observe=log.of(f"{number}.tif"), **options)
    return log


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tiff(values(0, 65535, "u2")), LEVELS),
        (tiff(values(-32768, 32767, "i2")), LEVELS),
        (tiff(values(-128, 127, "i1")), LEVELS),
        (tiff(values(0, 1, "f4")), LEVELS),
        (tiff(values(0, 4095, "u2"), tags={281: ("H", 4095)}), LEVELS),
        (tiff(values(0, 4095, "u2"), tags={281: ("H", 4000)}), LEVELS),  # the largest of this picture: 12 bits
        (tiff(values(0, 4095, "u2"), tags={341: ("H", 4095)}), LEVELS),
        (tiff(values(-1, 1, "f4"), tags={340: ("f", -1.0), 341: ("f", 1.0)}), LEVELS),
        (tiff(values(-1000, 3000, "i2"), tags={340: ("h", -1000), 341: ("h", 3000)}), LEVELS),
        (tiff(values(0, 65535, "u2"), photometric=0), LEVELS[::-1]),
        (tiff(values(0, 1, "f4"), photometric=0), LEVELS[::-1]),
    ],
)
def test_the_tags_of_a_file_say_which_values_are_black_and_white(data, expected):
    if expected is not LEVELS:
        expected = (255 - np.array(LEVELS)).tolist()
    assert grey(data) == expected


def test_twelve_packed_bits_are_read_by_their_number():
    wide = [int(value) for value in values(0, 4095, "u2").ravel()]
    pairs = zip(wide[::2], wide[1::2], strict=True)
    packed = bytes(byte for a, b in pairs for byte in (a >> 4, (a & 15) << 4 | b >> 8, b & 255))
    data = tiff(np.frombuffer(packed, np.uint8).reshape(2, 12), tags={256: ("I", 8), 258: ("H", 12)})
    assert grey(data) == LEVELS


def test_a_float_above_one_changes_nothing_but_itself():
    plain, one_more = values(0, 1, "f4"), values(0, 1, "f4")
    one_more[1, 7] = 1.02
    assert grey(tiff(one_more)) == grey(tiff(plain)) == LEVELS


@pytest.mark.parametrize(("low", "high", "kind"), [(0, 4095, "u2"), (0, 10_000, "f4"), (-1, 1, "f4"), (-9, 900, "i2")])
def test_a_given_range_is_used_for_files_images_and_arrays(low, high, kind):
    array = values(low, high, kind)
    expected = pytest.approx(np.array(LEVELS), abs=1)
    for picture in (tiff(array), array, Image.open(io.BytesIO(tiff(array)))):
        assert as_picture(picture, (low, high))[:, :, 0] == expected
    eight = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert as_picture(eight, (low, high)).tolist() == eight.tolist()


def test_four_channels_of_more_than_eight_bits_are_not_scaled_by_a_range():
    with refused("array-range", kind=UnreadablePictureError):
        as_picture(np.zeros((4, 4, 4), np.uint16), (0, 4095))


@pytest.mark.parametrize("depth", [1, 257])
@pytest.mark.parametrize(("extra", "is_alpha", "said"), [(None, False, 1), (0, False, 1), (1, True, 0), (2, True, 0)])
def test_a_fourth_band_is_transparency_where_the_tags_say_so(extra, is_alpha, said, depth):
    pixels = np.full((2, 2, 4), (10, 20, 30, 0), np.uint8)
    data = tiff(pixels if depth == 1 else pixels.astype(np.uint16) * depth, extra=extra)
    assert read_picture(data)[0, 0].tolist() == ([255] * 3 if is_alpha else [10, 20, 30])
    assert sum("fourth band" in line for line in found(data).warnings()) == said


def test_values_that_do_not_fit_are_counted_with_the_figures_found():
    fits, high = tiff(values(0, 1, "f4")), values(0, 1, "f4")
    high[0, 0] = 10_000
    (line,) = found(fits, tiff(high), tiff(high)).warnings()
    assert all(fact in line for fact in ("2 pictures of 3", "0..1", "0 to 10000", "1.tif", "--pixel-range"))
    assert "--pixel-range" not in found(tiff(high)).warnings(trained=True)[0]
    high[0, 0] = np.nan
    assert len(found(tiff(high)).warnings()) == 1
    assert found(fits).warnings() == []


def test_values_in_a_small_part_of_the_range_are_said_for_all_pictures_together():
    twelve, dark = tiff(values(0, 4095, "u2")), tiff(values(0, 900, "u2"))
    (line,) = found(twelve, dark).warnings()
    assert all(fact in line for fact in ("2 pictures", "0 to 4095", "0..65535", "16 of 256", "--pixel-range"))
    assert found(twelve, dark).warnings(trained=True) == []
    assert found(dark, tiff(values(0, 60_000, "u2"))).warnings() == []
    assert found(twelve, pixel_range=(0, 4095)).warnings((0, 4095)) == []
    colour = tiff(np.repeat(values(0, 4095, "u2")[..., None], 3, 2))
    assert "16 of 256" in found(colour).warnings()[0]
    assert "16-bit colours" in found(colour, pixel_range=(0, 4095)).warnings((0, 4095))[0]


def test_files_whose_tags_differ_and_a_range_without_effect_are_said():
    twelve = tiff(values(0, 4095, "u2"), tags={281: ("H", 4095)})
    (line,) = found(twelve, tiff(values(0, 65535, "u2"))).warnings()
    assert all(fact in line for fact in ("0..4095 (1 picture, such as '0.tif')", "0..65535", "--pixel-range"))
    eight = tiff(values(0, 255, "u1"))
    assert "no effect" in found(eight, pixel_range=(0, 4095)).warnings((0, 4095))[0]
    assert found(eight).warnings() == []


def test_what_was_found_survives_json_and_joins():
    log = found(tiff(values(0, 4095, "u2")), tiff(np.zeros((2, 2, 4), np.uint8)), tiff(values(0, 2, "f4")))
    again = ValueLog.read(json.loads(json.dumps(log.facts())))
    assert again.warnings() == log.warnings()
    assert len(log.warnings()) == 4
    twice = ValueLog.joined([log, again])
    assert [group.count for group in twice.groups.values()] == [2, 2]
    assert twice.remarks["fourth-band"].count == 2
    assert [group.count for group in log.groups.values()] == [1, 1]


def turned(suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 12:] = 255
    Image.fromarray(pixels).save(file, suffix, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_once(suffix):
    data = turned(suffix)
    upright = read_picture(data)
    assert upright.shape == (24, 8, 3)
    opened = Image.open(io.BytesIO(data))
    assert as_picture(opened).tolist() == upright.tolist()
    assert as_picture(opened).tolist() == upright.tolist()  # Pillow has turned a TIFF in place
    mine = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert as_picture(mine).tolist() == as_picture(mine.convert("RGB")).tolist() == upright.tolist()


def test_a_picture_that_was_changed_and_may_be_turned_already_is_refused():
    opened = Image.open(io.BytesIO(turned("PNG")))
    for changed in (opened.transpose(Image.Transpose.ROTATE_270), opened.convert("RGB"), opened.copy()):
        with refused("turned-picture", "exif_transpose", kind=UnreadablePictureError):
            as_picture(changed)


@pytest.mark.parametrize("text", ["0", "1,1", "9,1", "0,nan", "0,1,2", "low,high"])
def test_impossible_ranges(text):
    with pytest.raises(UsageError, match="0,4095"):
        Recipe.make(backbone="tiny", dataset="x", pixel_range=text)


def test_a_card_without_a_range_is_as_before_and_one_with_it_carries_it():
    plain = any_card()
    assert "pixel_range" not in plain.sealed()
    assert Card.parse(plain.sealed()).preprocess == plain.preprocess
    ranged = any_card(preprocess={"image_size": 28, "pixel_range": (-1, 1)})
    assert Card.parse(ranged.sealed()).preprocess.pixel_range == (-1, 1)
    with pytest.raises(ValueError, match="pixel range"):
        Card.model_validate(ANY | {"preprocess": {"image_size": 28, "pixel_range": (1, 1)}})


@pytest.fixture(scope="module")
def twelve_bits(tmp_path_factory):
    """Three classes whose pictures use 12 of 16 bits, with all splits."""
    root, rng = tmp_path_factory.mktemp("data") / "twelve", np.random.default_rng(0)
    for split, count in {"train": 12, "val": 4, "test": 4}.items():
        for label, name in enumerate(("bar", "line", "slope")):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                levels = draw(label, rng)[:, :, 0].astype(np.uint16) * 16
                (root / split / name / f"{index}.tif").write_bytes(tiff(levels))
    return root


@pytest.fixture(scope="module")
def ranged(twelve_bits, tmp_path_factory, tiny_plugin):
    """A run with `--pixel-range 0,4095`, and its ONNX file."""
    folder = tmp_path_factory.mktemp("ranged")
    options = {"epochs": 1, "image_size": 24, "augment": "none", "pixel_range": "0,4095"}
    run = zoo.train("tiny", twelve_bits, output=folder / "run", **options)
    with artifacts_here():
        return run, export(run, "onnx", folder / "model.onnx").path


def test_the_range_of_a_training_is_that_of_its_run_its_file_and_who_reads_pictures_with_it(ranged, twelve_bits):
    run, file = ranged
    assert Run(run.path).recipe.pixel_range == Run(run.path).preprocess.pixel_range == (0, 4095)
    predictor = zoo.load(file)
    assert predictor.card.preprocess.pixel_range == (0, 4095)
    path = twelve_bits / "test" / "bar" / "0.tif"
    eight = read_picture(path, pixel_range=(0, 4095))
    assert eight.max() > 150
    expected = predictor.logits([eight])
    for picture in (path, path.read_bytes(), np.asarray(Image.open(path)), Image.open(path)):
        np.testing.assert_array_equal(predictor.logits([picture]), expected)
    split = run.evaluation_split()[1]
    assert isinstance(split.pictures, FilePictures)
    np.testing.assert_array_equal(split.pictures[0], eight)


def test_evaluate_and_the_demo_read_pictures_by_the_range_of_the_file(ranged, twelve_bits):
    from zoo_demo.worker import answer

    run, file = ranged
    for model in (run.path, file):
        done = CliRunner().invoke(app, ["evaluate", str(model), str(twelve_bits), "--json"])
        assert json.loads(done.stdout)["metrics"] == pytest.approx(run.metrics, abs=1e-4)
    path, predictor = twelve_bits / "test" / "bar" / "0.tif", zoo.load(file)
    said, _ = answer(predictor, "picture", path.read_bytes())
    assert said["top"] == predictor.predict([path])[0].top


def test_predict_says_which_values_do_not_fit(ranged, tmp_path):
    high = values(0, 60_000, "u2").repeat(12, 0).repeat(3, 1)
    (tmp_path / "high.tif").write_bytes(tiff(high))
    done = CliRunner().invoke(app, ["predict", str(ranged[1]), str(tmp_path / "high.tif"), "--json"])
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)) == 1
    assert "0..4095" in done.stderr
    assert "60000" in done.stderr


def test_a_training_and_a_check_say_that_values_are_squeezed_also_from_the_cache(twelve_bits, tmp_path, capsys):
    for number in range(2):
        options = {"epochs": 1, "image_size": 24, "augment": "none", "progress": True}
        run = zoo.train("tiny", twelve_bits, output=tmp_path / f"{number}", **options)
        said = " ".join(capsys.readouterr().err.split())
        assert "48 pictures with more than 8 bits run from" in said
        assert "12 pictures with more than 8 bits run from" in said  # of test, read at the end
        assert "pixel_range" not in (run.path / "run.json").read_text()
    assert "from the cache" in said
    done = CliRunner().invoke(app, ["check", str(twelve_bits), "--json"])
    (problem,) = (each for each in json.loads(done.stdout)["problems"] if each["kind"] == "values")
    assert "60 pictures" in problem["message"]
    assert "--pixel-range" in problem["remedy"]
    done = CliRunner().invoke(app, ["check", str(twelve_bits), "--pixel-range", "0,4095", "--json"])
    assert not [each for each in json.loads(done.stdout)["problems"] if each["kind"] == "values"]


@pytest.mark.parametrize("budget", [(2**30, 2**30), (2**30, 0), (0, 2**30), (0, 0)])
def test_stored_mapped_and_streamed_pictures_have_the_same_range(twelve_bits, budget):
    paths = sorted(twelve_bits.glob("train/bar/*.tif"))
    split = Split(FilePictures(paths), np.zeros(len(paths), np.int64))
    rows = {}
    for high in (4095.0, 2047.0):  # another range is another store
        spec = PreprocessSpec(image_size=24, pixel_range=(0.0, high))
        (store,) = make_stores(
            [split], spec, augmented=False, budgets=Budgets(*budget), origin="", reporter=Reporter(quiet=True)
        )
        rows[high] = store.pixels.take(np.arange(len(paths)))
        np.testing.assert_array_equal(rows[high][0], read_picture(paths[0], pixel_range=(0, high)))
    assert (rows[4095.0] != rows[2047.0]).any()
