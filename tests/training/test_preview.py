"""`zoo preview` shows what a training's network sees."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app, main
from zoo.errors import DataError
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.report.contact_sheet import GAP, LEADING
from zoo.training.batches import Views
from zoo.training.preview import MOST_SIDE, choose, displayed, make_preview
from zoo.training.setup import decode_splits, prepare, resolve
from zoo.transforms.augment import Policy

from ..conftest import write_folder

QUIET = Reporter(quiet=True)


def made(dataset, *, count=4, views=3, **options):
    recipe = Recipe.make(backbone="tiny", dataset=str(dataset), weights="none", **{"image_size": 120} | options)
    return recipe, make_preview(recipe, QUIET, count=count, views=views)


def fields(sheet, rows, columns, side=120, font_size=11):
    """The pictures of a sheet, uint8 `[rows, columns, side, side, 3]`, found from its lower end."""
    pixels, down = np.asarray(sheet), side + GAP + font_size + LEADING
    top = len(pixels) - rows * down
    return np.stack(
        [
            np.stack(
                [pixels[top + row * down :, GAP + column * (side + GAP) :][:side, :side] for column in range(columns)]
            )
            for row in range(rows)
        ]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"augment": "photos", "seed": 5},
        {"augment": "strong", "mean": "0.2,0.4,0.6", "std": "0.3,0.2,0.1", "resize": "squash"},
        {"augment": "none", "rotate": 30.0},
        {"augment": "photos", "resize": "shorter", "interpolation": "bicubic"},
    ],
)
def test_its_pixels_are_those_of_a_training(bars, options):
    recipe, preview = made(bars, **options)
    setup = prepare(resolve(recipe), QUIET)
    stores = decode_splits(setup, QUIET)
    policy = setup.policy
    views = Views(*stores, policy, torch.Generator().manual_seed(recipe.seed + 1), torch.device("cpu"))
    chosen = torch.from_numpy(choose(stores[0].labels, 4, recipe.seed))
    columns = [views.plain(stores[0], chosen), *(views.varied(chosen) for _ in range(3))]
    expected = np.stack([displayed(column, views.preprocess) for column in columns], axis=1)
    shown = fields(preview.sheet, 4, 4)
    assert np.array_equal(shown, expected)
    assert not any(np.array_equal(row[0], view) for row in shown for view in row[1:])


def test_denormalised_pixels_are_the_pictures_own(bars):
    recipe, preview = made(bars, augment="none", image_size=24, mean="0.2,0.4,0.6", std="0.3,0.2,0.1")
    shown = fields(preview.sheet, 1, 4)[0, :, ::5, ::5]
    setup = prepare(resolve(recipe), QUIET)
    train = decode_splits(setup, QUIET)[0]
    assert np.array_equal(shown, train.pixels.take(choose(train.labels, 4, 0)))


def test_what_is_erased_is_nothing_to_the_network(bars):
    recipe = Recipe.make(backbone="tiny", dataset=str(bars), image_size=24, augment="none", erase=1, mean="0.2,0.4,0.6")
    stores = decode_splits(prepare(resolve(recipe), QUIET), QUIET)
    views = Views(*stores, Policy(erase=1), torch.Generator().manual_seed(0), torch.device("cpu"))
    erased = (views.varied(torch.arange(50)).abs() < 1e-5).all(1).float().mean((1, 2))
    assert erased.min() > 0.01
    assert erased.max() < 0.4


def test_only_the_pictures_shown_are_decoded(bars, monkeypatch):
    read = []
    real = sys.modules["zoo.data.sources"].read_picture
    monkeypatch.setattr("zoo.data.sources.read_picture", lambda path, **more: read.append(path) or real(path, **more))
    made(bars, count=5, augment="light")
    assert len(read) == 5


@pytest.mark.parametrize(
    ("count", "each"), [(2, [0, 1, 1]), (3, [1, 1, 1]), (5, [1, 2, 2]), (9, [2, 3, 4]), (99, [2, 7, 50])]
)
def test_each_class_gives_one_before_any_gives_another(count, each):
    labels = np.repeat([0, 1, 2], [50, 7, 2])
    for seed in range(20):
        chosen = choose(labels, count, seed)
        assert sorted(np.bincount(labels[chosen], minlength=3).tolist()) == each
        assert len(set(chosen.tolist())) == len(chosen)
        assert (np.diff(labels[chosen]) >= 0).all()
        assert np.array_equal(chosen, choose(labels, count, seed))
    if count < len(labels):
        assert not np.array_equal(choose(labels, count, 1), choose(labels, count, 2))


def test_unreadable_pictures_are_left_out(tmp_path, capsys):
    root = write_folder(tmp_path / "data", {"train": 2, "val": 1})
    for name in ("bar", "line"):
        (root / "train" / name / "000.png").write_bytes(b"no picture")
    recipe = Recipe.make(backbone="tiny", dataset=str(root), image_size=24, augment="light")
    preview = make_preview(recipe, Reporter(), count=6, views=1)
    assert preview.labels == ("bar", "line", "slope", "slope")
    assert capsys.readouterr().err.count("Left out") == 2
    for path in root.glob("train/*/*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the chosen pictures can be read"):
        made(root)


def test_large_pictures_are_reduced_and_the_title_says_what_was_done(bars):
    preview = made(bars, count=2, views=1, image_size=500, augment="digits", jitter=0.25, mixup=0.2, cutmix=1.0)[1]
    assert preview.sheet.width == 2 * (MOST_SIDE + GAP) + GAP
    assert preview.lines == (
        "bars as tiny (weights: none) sees it, seed 0",
        "input: 500 pixels; mean 0.5, 0.5, 0.5, std 0.5, 0.5, 0.5 (undone here)",
        "resize: centre cut out, then resized (bilinear)",
        "sees 61% of the median picture (30 x 24)",
        "augmentation: digits: rotated by up to 10°, shifted by up to 8% of the side, zoomed by 0.9 to 1.1, "
        "brightness, contrast, saturation ± 25%",
        "left column: without augmentation",
        "not shown: MixUp 0.2 and CutMix 1, which blend pictures of a batch",
    )


def test_where_nothing_varies_there_are_pictures_alone(bars):
    preview = made(bars, count=10, strategy="head")[1]
    assert preview.setup.policy is None
    assert preview.lines[4:] == ("augmentation: nothing varies",)
    assert preview.sheet.width == 8 * (120 + GAP) + GAP


# --- the command


def invoke(*arguments):
    return CliRunner().invoke(app, ["preview", *map(str, arguments)])


def test_the_command_writes_a_sheet_and_replaces_an_older_one(bars, tmp_path):
    output = tmp_path / "sheet.png"
    output.write_text("older")
    small = ("--backbone", "tiny", "--image-size", 16, "--count", 2, "--views", 1, "--output", output)
    said = invoke(bars, *small, "--augment", "strong", "--no-trivial", "--json")
    assert said.exit_code == 0, said.output
    facts, without = json.loads(said.stdout), dataclasses.asdict(Policy())
    assert facts["preview"] == str(output)
    assert facts["policy"] == {**without, "crop": [0.25, 1.0], "flip": "horizontal", "erase": 0.1, "scale": [1.0, 1.0]}
    assert (facts["augment"], facts["preprocess"]["image_size"], len(facts["labels"])) == ("strong", 16, 2)
    with Image.open(output) as sheet:
        assert sheet.format == "PNG"
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["sheet.png"]


def test_a_recipe_says_what_to_show(bars, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(f'backbone = "resnet18"\ndataset = "{bars}"\nimage_size = 16\nerase = 0.75\naugment = "none"\n')
    said = invoke("--recipe", recipe, "--backbone", "tiny", "--count", 1, "--views", 1)
    assert said.exit_code == 0, said.output
    assert "bars as tiny" in said.stdout
    assert "augmentation: 75% with a rectangle erased" in said.stdout
    assert "Written: preview.png" in said.stdout
    assert (tmp_path / "preview.png").exists()


def test_its_options_are_those_that_concern_pictures():
    text = CliRunner().invoke(app, ["preview", "--help"], terminal_width=200).output
    for option in ("--augment", "--erase", "--no-trivial", "--mean", "--strategy", "--backbone", "--data-root"):
        assert option in text
    for option in ("--epochs", "--optimizer", "--mixup", "--device"):
        assert option not in text


@pytest.mark.parametrize(
    ("arguments", "cause", "remedy"),
    [
        ([], "A preview needs a dataset.", "zoo preview DATASET"),
        (["minst"], "no dataset named 'minst'", "mnist"),
        (["{bars}", "--backbone", "resnet81"], "no backbone named 'resnet81'", "resnet18"),
        (["--recipe", "folder-resnet18"], "names no dataset", "zoo preview --recipe folder-resnet18 DATASET"),
        (["--recipe", "folder-resnet18", "--backbone", "tiny"], "names no dataset", "DATASET"),
        (["{bars}", "--crop", "2,3"], "crop cannot be '2,3'", "--crop a range"),
        (["{bars}", "--output", "sheet.jpg"], "'sheet.jpg' has another suffix", "NAME.png"),
        (["{bars}", "--output", "no/sheet.png"], "The folder no was not found", "--output"),
        (["{bars}", "--output", "folder.png"], "folder.png is a folder", "--output"),
        (["{bars}", "--count", "0"], "--count cannot be '0'", "Give a whole number from 1 to 1000."),
        (["{bars}", "--augment", "strnog"], "'strnog'", "strong"),
    ],
)
def test_a_wrong_command_says_what_and_how(arguments, cause, remedy, bars, failed):
    code, said = failed(*(word.format(bars=bars) for word in arguments))
    assert code == 2
    assert cause in said
    assert remedy in said


@pytest.fixture
def failed(tmp_path, monkeypatch, capsys):
    """Runs `zoo preview`, which must fail and write nothing; returns its exit code and what it says."""

    def run(*arguments):
        work = tmp_path / "work"
        (work / "folder.png").mkdir(parents=True)
        monkeypatch.chdir(work)
        monkeypatch.setattr(sys, "argv", ["zoo", "preview", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert [path.name for path in work.rglob("*")] == ["folder.png"]
        return end.value.code, capsys.readouterr().err

    return run


def test_a_preview_that_fails_leaves_the_older_one(tmp_path, failed):
    root = write_folder(tmp_path / "data", {"train": 2, "val": 1})
    for path in root.glob("train/*/*.png"):
        path.write_bytes(b"no picture")
    output = tmp_path / "preview.png"
    output.write_text("older")
    code, said = failed(root, "--backbone", "tiny", "--output", output)
    assert code == 1
    assert "None of the chosen pictures can be read" in said
    assert output.read_text() == "older"
