"""Example pictures in a card: which are taken, how, and from whose pictures."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import zoo
from zoo.artifacts.examples import MAX_EXAMPLE_BYTES
from zoo.artifacts.predictor import read_card
from zoo.cli import app
from zoo.data import ArrayPictures, Split
from zoo.exporting.examples import check_examples, chosen_examples, encoded, may_be_copied
from zoo.exporting.pipeline import export
from zoo.exporting.source import RunSource
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import DatasetSpec

from ..refusals import refused

pytestmark = pytest.mark.usefixtures("artifacts_here")


@pytest.mark.parametrize("suffix", [".onnx", ".pt", ".pt2"])
def test_every_format_holds_them_pixel_by_pixel(trained, reference, place, suffix):
    artifact = export(trained, place / f"model{suffix}", reference=reference, examples=7)
    card = read_card(artifact.path)
    assert card == artifact.card
    assert Counter(example.label for example in card.examples) == {"bar": 3, "line": 2, "slope": 2}
    _, split = trained.evaluation_split()
    known = {split.pictures[index].tobytes(): trained.classes[split.labels[index]] for index in range(len(split))}
    for example in card.examples:
        assert example.media_type == "image/png"
        assert known.pop(example.pixels().tobytes()) == example.label
    assert zoo.verify(artifact.path).passed


def test_a_file_without_examples_says_nothing_of_them(model):
    card = read_card(model)
    assert card.examples == ()
    assert "examples" not in json.loads(card.sealed())
    assert "examples" not in json.loads(card.model_dump_json())


def test_they_are_the_same_each_time_and_even_over_the_classes(trained):
    split = trained.evaluation_split()[1]
    several = [chosen_examples(split, trained.classes, 9, seed=3) for _ in range(2)]
    assert several[0] == several[1]
    assert [example.label for example in several[0]] == ["bar"] * 3 + ["line"] * 3 + ["slope"] * 3
    assert several[0] != chosen_examples(split, trained.classes, 9, seed=4)
    assert len(chosen_examples(split, trained.classes, 24, seed=0)) == len(split) == 18
    assert chosen_examples(split, trained.classes, 0, seed=0) == ()


def test_unreadable_pictures_are_no_examples(tmp_path):
    for number in range(3):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"torn")
    split = Split(zoo.data.FilePictures(sorted(tmp_path.iterdir())), np.array([0, 0, 1]))
    assert [example.pixels()[0, 0, 0] for example in chosen_examples(split, ("a", "b"), 3, seed=0)] == [0, 2]


def test_small_pictures_keep_their_pixels_and_large_ones_become_smaller():
    rng = np.random.default_rng(0)
    for shape in ((28, 28, 1), (28, 40, 3), (1, 512, 3)):
        picture = np.broadcast_to(rng.integers(0, 256, shape, np.uint8), (*shape[:2], 3))
        assert (np.asarray(Image.open(BytesIO(encoded(picture))).convert("RGB")) == picture).all()
    assert Image.open(BytesIO(encoded(np.zeros((28, 28, 3), np.uint8)))).mode == "L"
    ramp = np.broadcast_to(np.linspace(0, 255, 1500)[None, :, None], (1000, 1500, 3)).astype(np.uint8)
    assert Image.open(BytesIO(encoded(ramp))).size == (512, 341)
    assert Image.open(BytesIO(encoded(np.zeros((3, 5000, 3), np.uint8)))).size == (512, 1)
    for side in (400, 3000):
        noise = encoded(rng.integers(0, 256, (side, side, 3), np.uint8))
        assert len(noise) <= MAX_EXAMPLE_BYTES
        assert Image.open(BytesIO(noise)).format == "JPEG"


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("LeCun, Cortes and Burges; CC BY-SA 3.0", True),
        ("Yadav and Bottou 2019; BSD 3-Clause", True),
        ("made by this package, CC0", True),
        ("CC0-1.0", True),
        ("CC-BY-4.0", True),
        ("Apache License 2.0", True),
        ("", False),
        ("internal", False),
        ("CC BY-NC 4.0", False),
        ("CC-BY-ND-4.0", False),
        ("Krizhevsky 2009; the publisher names no licence", False),
        ("Netzer et al. 2011; for non-commercial use only", False),
        ("pictures for research only; labels, MIT", False),
        ("OpenAI, pictures from YFCC100M; Creative Commons, picture by picture", False),
    ],
)
def test_which_licences_allow_copies(licence, free):
    assert may_be_copied(licence) is free


def named_run(trained, tmp_path, name: str, licence: str = "") -> Run:
    """The run, as if it had been trained on the dataset of this name."""
    folder = tmp_path / "named"
    folder.mkdir()
    for file in trained.path.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    recipe = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(recipe.replace(trained.recipe.dataset, name))
    run = Run(folder)
    run.info.dataset = dataclasses.replace(run.info.dataset, licence=licence)
    run.save()
    return Run(folder)


@pytest.mark.parametrize(
    ("dataset", "licence", "fact"),
    [
        ("cifar10", "", "the publisher names no licence"),
        ("svhn", "", "non-commercial"),
        ("gone-with-its-plugin", "", "it names none"),
        ("gone-with-its-plugin", "for research only", "research"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_a_named_dataset_that_may_not_be_copied_is_refused(trained, tmp_path, dataset, licence, fact):
    run = named_run(trained, tmp_path, dataset, licence)
    for again in (run, run.moved(trained.recipe.dataset)):  # in another place they are the same pictures
        with refused("examples-licence", fact, "CC0"):
            export(again, examples=1)
    with refused("examples-licence", fact):
        CliRunner().invoke(app, ["export", str(run.path), "--onnx", "--examples", "1"], catch_exceptions=False)


def test_a_named_dataset_that_may_be_copied_needs_no_warning(trained, tmp_path):
    assert check_examples(RunSource(named_run(trained, tmp_path, "mnist")), 1) == ""


def test_a_licence_in_a_plugin_counts(trained, tmp_path):
    registry().register(DatasetSpec(name="parts", load=print, licence="internal"))
    run = named_run(trained, tmp_path, "parts")
    with refused("examples-licence", "internal"):
        check_examples(RunSource(run), 1)
    registry().register(DatasetSpec(name="parts", load=print))  # the user's own code, in this process
    assert "everyone who gets the file" in check_examples(RunSource(run), 1)


def test_the_command_warns_of_own_pictures_once_and_says_what_the_files_hold(trained, place):
    command = ["export", str(trained.path), "--onnx", "--torchscript", "--output", str(place / "model")]
    done = CliRunner().invoke(app, [*command, "--examples", "2"])
    assert done.exit_code == 0, done.output
    assert done.stderr.count("everyone who gets the file can see them") == 1
    assert "model.onnx holds 2 example pictures" in done.stdout
    told = CliRunner().invoke(app, ["info", str(place / "model.pt")]).stdout
    assert "example pictures" in told
    described = json.loads(CliRunner().invoke(app, ["info", str(place / "model.onnx"), "--json"]).stdout)
    assert [example["label"] for example in described["examples"]] == sorted(e["label"] for e in described["examples"])
    with refused("impossible-option", "from 0 to 24"):
        export(trained, examples=25)


def test_python_shows_the_warning_with_the_progress(trained, reference, place, capsys):
    export(trained, place / "model.onnx", reference=reference, examples=1, progress=True)
    assert "everyone who gets the file can see them" in capsys.readouterr().err


def test_examples_of_a_classifier(trained, bars, place):
    classifier = trained.classifier()
    artifact = zoo.export(classifier, place / "model.onnx", pictures=bars, examples=3)
    assert [example.label for example in artifact.card.examples] == ["bar", "line", "slope"]
    pictures = [ArrayPictures(np.zeros((2, 24, 24, 3), np.uint8))[0]] * 3
    with refused("examples-without-labels", "folder"):
        zoo.export(classifier, place / "other.onnx", pictures=pictures, examples=3)
