"""Weights from elsewhere as a run: the same figures, an export with parity, and honest words about what is unknown."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import zoo
from zoo.adopting.classes import read_classes
from zoo.adopting.input import choose_preprocess
from zoo.cli import app
from zoo.errors import DataError, UsageError, WeightsError
from zoo.evaluation.pictures import split_of_run
from zoo.exporting.pipeline import export
from zoo.parity.verify import verify
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import PreprocessSpec, WeightsSpec

from ..refusals import refused

AS_TRAINED = {"image_size": 24, "mean": 0.5, "std": 0.5, "crop_fraction": 0.875}


@pytest.fixture(scope="session")
def foreign(trained, tmp_path_factory):
    """The weights of `trained`, as plain PyTorch saves them, without the rest of the run."""
    path = tmp_path_factory.mktemp("foreign") / "weights.pth"
    torch.save({"model": trained.weights()}, path)
    return path


@pytest.fixture(scope="session")
def adopted(foreign, bars, tmp_path_factory, tiny_plugin):
    return zoo.adopt(
        "tiny", foreign, bars / "train", data=bars, output=tmp_path_factory.mktemp("runs") / "adopted", **AS_TRAINED
    )


def run_cli(*arguments):
    from typer.testing import CliRunner

    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)


def test_the_figures_are_those_of_the_training(adopted, trained):
    assert trained.preprocess == adopted.preprocess
    assert adopted.metrics == trained.metrics
    assert adopted.classes == trained.classes
    assert (adopted.info.status, adopted.info.metrics_split) == ("adopted", "test")
    again = Run(adopted.path)
    assert again.info == adopted.info
    assert again.adopted
    for name in ("best.safetensors", "report.html", "confusion.png", "pictures/list.csv"):
        assert (adopted.path / name).exists()
    assert "Trained elsewhere" in (adopted.path / "report.html").read_text()
    assert "learning rate" not in (adopted.path / "report.html").read_text()


def test_it_is_exported_with_parity_and_verified(adopted, bars, place, artifacts_here):
    made = export(Run(adopted.path), "onnx", place / "model.onnx")
    assert made.report["accuracy"] == {"classifier": 1.0, "artifact": 1.0, "pictures": 18}
    assert made.card.metrics == adopted.metrics
    assert "trained elsewhere" in made.card.dataset.notes[0]
    assert "learning_rate" not in made.card.recipe
    assert "optimizer" not in made.card.recipe
    assert verify(made.path, data=str(bars), against=adopted.path).passed
    picture = next((bars / "test" / "slope").glob("*.png"))
    assert zoo.load(made.path).predict([picture])[0].label == "slope"


def test_int8_takes_its_pictures(adopted, place, artifacts_here):
    made = export(adopted, "onnx", place / "model.onnx", precision="int8", accuracy_budget=50)
    assert made.card.precision == "int8"


def test_evaluate_and_info_know_it(adopted, bars):
    told = run_cli("evaluate", adopted.path, "--json")
    assert json.loads(told.stdout)["metrics"] == adopted.metrics
    assert "trained on" not in told.stderr
    told = run_cli("info", adopted.path).stdout
    assert "adopted" in told
    assert "strategy" not in told
    assert "epochs" not in told


def test_without_pictures_it_says_so_and_export_takes_some(foreign, bars, tmp_path, place, artifacts_here):
    run = zoo.adopt("tiny", foreign, ["bar", "line", "slope"], output=tmp_path / "run", **AS_TRAINED)
    assert run.metrics == {}
    assert run.info.dataset.name == "unknown pictures"
    with refused("run-without-pictures", "--data", kind=DataError):
        export(run, "onnx", place / "a.onnx")
    with refused("run-without-pictures", kind=DataError):
        run.dataset()
    with refused("run-without-pictures", kind=UsageError):
        run_cli("evaluate", run.path)
    assert run_cli("evaluate", run.path, bars).exit_code == 0
    made = export(run, "onnx", place / "b.onnx", data=bars)
    assert made.card.metrics == {}
    told = run_cli("info", made.path, "--model-card", place / "card.md")
    assert told.exit_code == 0


def test_a_moved_folder_leaves_the_kept_pictures(foreign, bars, tmp_path):
    (tmp_path / "here").symlink_to(bars)
    run = zoo.adopt("tiny", foreign, "bar,line,slope", data=tmp_path / "here", output=tmp_path / "run", **AS_TRAINED)
    assert split_of_run(run)[0] == "test"
    (tmp_path / "here").unlink()
    name, split = split_of_run(run)
    assert (name, len(split)) == ("kept test", 18)


def test_other_orders_and_fewer_classes_of_the_pictures(trained, bars, tmp_path):
    """Labels are matched by name: the classes may be in any order, and some may have no pictures."""
    order = [2, 0, 1]
    state = {name: value[order] if name.startswith("2.") else value for name, value in trained.weights().items()}
    torch.save(state, tmp_path / "w.pt")
    names = [trained.classes[index] for index in order]
    run = zoo.adopt("tiny", tmp_path / "w.pt", names, data=bars, output=tmp_path / "run", **AS_TRAINED)
    assert run.metrics == pytest.approx(trained.metrics)
    assert run.dataset().classes == tuple(names)
    (tmp_path / "two" / "line").mkdir(parents=True)
    (tmp_path / "two" / "slope").symlink_to(bars / "test" / "slope")
    (tmp_path / "two" / "line").rmdir()
    (tmp_path / "two" / "line").symlink_to(bars / "test" / "line")
    run = zoo.adopt("tiny", tmp_path / "w.pt", names, data=tmp_path / "two", output=tmp_path / "two-run", **AS_TRAINED)
    assert (run.info.metrics_split, run.metrics["num_pictures"]) == ("all", 12)
    assert split_of_run(Run(run.path))[0] == "all"


def test_a_training_goes_on_from_it_and_resume_does_not(adopted, bars, tmp_path):
    with refused("run-adopted", "zoo train --recipe", kind=UsageError):
        zoo.resume(adopted.path)
    options = {**Run(adopted.path).recipe.options(), "epochs": 1, "strategy": "full", "learning_rate": 1e-12}
    run = zoo.train(**options, output=tmp_path / "on")
    assert run.preprocess == adopted.preprocess
    assert run.metrics["top1"] == adopted.metrics["top1"]


def test_weights_of_a_run_bring_its_classes_and_preprocessing(trained, bars, tmp_path):
    run = zoo.adopt("tiny", trained.path / "best.safetensors", data=bars, output=tmp_path / "run")
    assert (run.classes, run.preprocess, run.metrics) == (trained.classes, trained.preprocess, trained.metrics)


BICUBIC = PreprocessSpec(image_size=24, resize="shorter", crop_fraction=0.9, interpolation="bicubic")


@pytest.mark.parametrize("recorded", [BICUBIC, None], ids=["a run's", "published"])
def test_resize_and_interpolation_are_kept_unless_they_are_given(recorded):
    published = WeightsSpec(
        name="W", load=dict, image_size=24, resize="shorter", crop_fraction=0.9, interpolation="bicubic"
    )
    backbone = replace(registry().backbone("tiny").spec, weights=published)

    def chosen(**options):
        given = {"resize": None, "interpolation": None, "crop_fraction": None, "channels": "rgb", **options}
        return choose_preprocess(backbone, Recipe.make(backbone="tiny", dataset=""), recorded, **given)

    assert chosen() == BICUBIC
    assert chosen(interpolation="bilinear") == replace(BICUBIC, interpolation="bilinear")
    assert chosen(resize="squash") == replace(BICUBIC, resize="squash", crop_fraction=1.0)


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ({"classes": None}, "missing-classes", ("--classes",)),
        ({"classes": "bar,line"}, "other-number-of-classes", ("for 3 classes", "2 are named")),
        ({"image_size": None}, "preprocessing-unknown", ("tiny", "--image-size")),
        ({"mean": None, "std": None}, "preprocessing-unknown", ("--mean, --std",)),
        ({"crop_fraction": 1.5}, "impossible-option", ("1.5",)),
        ({"resize": "squash"}, "option-without-effect", ("--crop-fraction",)),
        ({"image_size": 4}, "image-size-impossible", ("tiny", 4)),
        ({"channels": "hsv"}, "impossible-option", ("hsv",)),
        ({"resize": "longer"}, "impossible-option", ("longer", "crop, squash, shorter")),
        ({"interpolation": "cubic"}, "impossible-option", ("cubic", "bilinear, bicubic")),
        ({"std": 0}, "impossible-option", ("std",)),
        ({"data": "/nowhere"}, "missing-dataset", ("/nowhere",)),
        ({"backbone": "tinny"}, "unknown-name", ("tinny", "tiny")),
        ({"weights": "/nowhere.pt"}, "missing-weights-file", ("/nowhere.pt",)),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(foreign, tmp_path, options, code, facts):
    given = {"backbone": "tiny", "weights": foreign, "classes": "bar,line,slope", **AS_TRAINED, **options}
    with refused(code, *facts):
        zoo.adopt(**given, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_files_is_kept(foreign, tmp_path):
    (tmp_path / "own.txt").touch()
    with refused("not-empty", tmp_path, kind=UsageError):
        zoo.adopt("tiny", foreign, "bar,line,slope", output=tmp_path, **AS_TRAINED)


def test_the_command_prints_the_accuracy_and_what_comes_next(foreign, bars, tmp_path):
    shared = ("--image-size", 24, "--mean", 0.5, "--std", 0.5, "--crop-fraction", 0.875, "--classes", bars)
    told = run_cli("adopt", "tiny", foreign, *shared, "--data", bars, "--output", tmp_path / "a")
    assert "Accuracy: 100.00% on 18 test pictures of bars" in told.stdout
    assert f"zoo export {tmp_path / 'a'} --onnx" in told.stdout
    told = run_cli("adopt", "tiny", foreign, *shared, "--output", tmp_path / "b", "--json")
    assert json.loads(told.stdout)["status"] == "adopted"


def test_classes_of_a_folder_are_in_the_order_of_image_folder(tmp_path):
    from torchvision.datasets.folder import find_classes

    for name in ("10", "2", "1", "Cat", "cat"):
        (tmp_path / "data" / "train" / name).mkdir(parents=True)
    (tmp_path / "data" / "val").mkdir()
    assert read_classes(tmp_path / "data" / "train") == tuple(find_classes(tmp_path / "data" / "train")[0])
    assert read_classes(str(tmp_path / "data")) == ("1", "10", "2", "Cat", "cat")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "b\na\nc d\n\n"),
        ("names.json", '["b", "a", "c d"]'),
        ("index.json", '{"2": "c d", "0": "b", "1": "a"}'),
        ("class_to_idx.json", '{"a": 1, "b": 0, "c d": 2}'),
    ],
)
def test_classes_of_a_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_classes(str(tmp_path / name)) == ("b", "a", "c d")
    assert read_classes("b, a,c d") == ("b", "a", "c d")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("names.txt", "missing-class-list"),
        ("cat", "missing-class-list"),
        ("a,a", "class-twice"),
        (["a"], "number-of-classes"),
        ("a,,b", "impossible-class-name"),
    ],
)
def test_classes_that_are_none(tmp_path, monkeypatch, given, code):
    monkeypatch.chdir(tmp_path)
    with refused(code):
        read_classes(given)


@pytest.mark.parametrize("text", ['{"0": "a", "2": "b"}', "3", '["a", 1]', "nothing", '{"a": 1, "b": 1}'])
def test_json_without_classes(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with refused("no-class-list", "x.json"):
        read_classes(tmp_path / "x.json")


def test_a_pickled_network_makes_no_run(tmp_path, bars):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    with refused("pickled-network", kind=WeightsError):
        zoo.adopt("tiny", tmp_path / "net.pt", bars / "train", output=tmp_path / "run", **AS_TRAINED)
    assert not (tmp_path / "run").exists()


def test_the_example_of_the_page_runs(trained, bars, tmp_path, monkeypatch, artifacts_here):
    page = Path(__file__).parents[2] / "docs" / "adopt.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    torch.save(trained.weights(), tmp_path / "weights.pth")
    (tmp_path / "photos").symlink_to(bars)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block.replace('"resnet18",', '"tiny", image_size=24, mean=0.5, std=0.5, weights=', 1), names)
    assert names["run"].metrics["top1"] == names["artifact"].card.metrics["top1"] == 1


def test_a_plugin_file_is_recorded(tmp_path):
    from zoo.registry import registry

    from ..plugin_files import write_plugin

    file = registry().add_file(write_plugin(tmp_path))
    torch.save(registry().backbone("mine").spec.build(2).state_dict(), tmp_path / "w.pt")
    run = zoo.adopt("mine", tmp_path / "w.pt", "a,b", output=tmp_path / "run", **AS_TRAINED)
    assert Run(run.path).info.plugins == [file]
    assert Run(run.path).recipe.plugins == (file.path,)
