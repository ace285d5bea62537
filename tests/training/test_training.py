import csv
import dataclasses
import json
import shutil
import tomllib

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import ArtifactError, DataError, TrainingError, UsageError
from zoo.metrics import summarise
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.runs.folder import create_folder
from zoo.runs.run import Run, latest_run, list_runs
from zoo.training.setup import prepare, resolve

from ..conftest import write_folder
from ..refusals import refused
from ..watch import classify, interrupt_after, undrawn


@pytest.fixture
def plots():
    """For tests that look at them."""


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    if "plots" not in request.fixturenames:
        undrawn(monkeypatch)


def train(bars, tmp_path, **options):
    defaults = {"epochs": 1, "image_size": 16, "batch_size": 16, "augment": "none"}
    return zoo.train("tiny", str(bars), output=tmp_path / "run", **defaults | options)


def rows(run):
    return list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))


def test_a_run_leaves_what_it_promises(trained):
    names = {path.name for path in trained.path.iterdir()}
    promised = {
        "recipe.toml",
        "run.json",
        "metrics.csv",
        "best.safetensors",
        "last.ckpt",
        "curves.png",
        "confusion.png",
    }
    assert promised <= names
    assert not [name for name in names if name.endswith(".tmp")]
    assert tomllib.loads((trained.path / "recipe.toml").read_text())["learning_rate"] == 0.01
    assert trained.info.status == "finished"
    assert trained.info.metrics_split == "test"
    assert trained.info.backbone_plugin == "zoo-tiny 1.0"
    for plot in ("curves.png", "confusion.png"):
        assert np.asarray(Image.open(trained.path / plot)).std() > 10


def test_it_learns_what_the_pictures_show(trained):
    assert trained.metrics["top1"] >= 0.9
    assert trained.metrics["num_pictures"] == 18


def test_final_figures_are_those_of_the_deployable_classifier(trained):
    name, split = trained.evaluation_split()
    logits, labels = classify(trained.classifier(), split)
    assert name == "test"
    assert trained.metrics["top1"] == (logits.argmax(1) == labels).mean()


def test_the_best_epoch_is_the_one_that_is_kept(bars, tmp_path):
    run = train(bars, tmp_path, epochs=12, learning_rate=0.05, schedule="step", seed=3)
    losses = [float(row["val_loss"]) for row in rows(run)]
    best = 1 + losses.index(min(losses))
    assert run.info.best_epoch == best < 12
    logits, labels = classify(run.classifier(), run.dataset().val)
    assert summarise(logits, labels)["loss"] == pytest.approx(min(losses), rel=0.02)
    assert min(losses) < 0.98 * losses[-1]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5"])
def test_batchnorm_averages_soon_enough_for_a_short_training(bars, name):
    recipe = Recipe.make(backbone=name, dataset=str(bars), weights="none")
    network = prepare(resolve(recipe), Reporter(quiet=True)).network
    assert {m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.1}


@pytest.mark.parametrize(("own", "used"), [(0.01, 0.1), (0.3, 0.3), (None, None)])
def test_batchnorm_that_averages_sooner_or_over_all_steps_stays(bars, own, used):
    spec = registry().backbone("tiny").spec

    def build(classes):
        network = spec.build(classes)
        network[0][1].momentum = own
        return network

    recipe = Recipe.make(backbone="tiny", dataset=str(bars), weights="none")
    resolved = resolve(recipe)
    backbone = dataclasses.replace(resolved.backbone, resolve=lambda: dataclasses.replace(spec, build=build))
    setup = prepare(dataclasses.replace(resolved, backbone=backbone), Reporter(quiet=True))
    assert setup.network[0][1].momentum == used


def test_rows_are_numbered_and_last_ckpt_is_the_last(trained):
    assert [row["epoch"] for row in rows(trained)] == [str(number) for number in range(1, 7)]
    assert torch.load(trained.path / "last.ckpt", weights_only=True)["epoch"] == 6


def test_one_seed_gives_one_result(bars, tmp_path):
    first = train(bars, tmp_path / "1", augment="photos", seed=5)
    second = train(bars, tmp_path / "2", augment="photos", seed=5)
    other = train(bars, tmp_path / "3", augment="photos", seed=6)
    weights = [(run.path / "best.safetensors").read_bytes() for run in (first, second, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_recipe_runs_again(trained, tmp_path):
    again = zoo.train(**trained.recipe.options(), output=tmp_path / "again")
    assert (again.path / "best.safetensors").read_bytes() == (trained.path / "best.safetensors").read_bytes()


def test_head_leaves_the_rest_as_it_was(bars, tmp_path):
    torch.manual_seed(0)
    start = zoo.registry.registry().backbone("tiny").spec.build(3).state_dict()
    run = train(bars, tmp_path, strategy="head", epochs=10)
    trained = run.classifier().network.state_dict()
    moved = {name for name in start if not torch.equal(start[name], trained[name])}
    assert moved == {"2.weight", "2.bias"}
    assert run.metrics["top1"] > 0.5


def test_the_stored_head_gives_the_validation_accuracy_of_the_whole_network(bars, tmp_path):
    run = train(bars, tmp_path, strategy="head", epochs=10)
    dataset = run.dataset()
    logits, labels = classify(run.classifier(), dataset.val)
    best = rows(run)[run.info.best_epoch - 1]
    assert (logits.argmax(1) == labels).mean() == pytest.approx(float(best["val_top1"]))
    assert summarise(logits, labels)["loss"] == pytest.approx(float(best["val_loss"]), abs=0.02)


def test_finetune_trains_the_head_first_and_then_everything(bars, tmp_path):
    run = train(bars, tmp_path, strategy="finetune", epochs=2, augment="photos")
    assert [row["phase"] for row in rows(run)] == ["head"] * 20 + ["finetune"] * 2
    state = torch.load(run.path / "last.ckpt", weights_only=True)
    torch.manual_seed(0)
    start = zoo.registry.registry().backbone("tiny").spec.build(3).state_dict()
    assert not torch.equal(state["network"]["0.0.weight"], start["0.0.weight"])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "step"])
def test_every_optimizer_and_schedule_trains(bars, tmp_path, optimizer, schedule):
    run = train(bars, tmp_path, optimizer=optimizer, schedule=schedule, epochs=3, label_smoothing=0.1)
    losses = [float(row["train_loss"]) for row in rows(run)]
    rates = [float(row["learning_rate"]) for row in rows(run)]
    assert losses[-1] < losses[0]
    assert len(set(rates)) == 3


def test_early_stopping_ends_a_training_that_stands_still(bars, tmp_path):
    run = train(bars, tmp_path, epochs=50, learning_rate=1e-12, early_stopping=2)
    assert len(rows(run)) == run.info.best_epoch + 2 < 50


def test_a_folder_without_a_test_split_reports_validation(tmp_path):
    run = train(write_folder(tmp_path / "data", {"train": 10, "val": 2}), tmp_path)
    assert run.info.metrics_split == "validation"
    assert run.metrics["num_pictures"] == 6


def test_a_bare_folder_gives_a_tenth_to_validation(tmp_path):
    data = write_folder(tmp_path / "data", {"": 20})
    run = train(data, tmp_path)
    assert run.info.metrics_split == "validation"
    assert run.metrics["num_pictures"] == 6


def test_a_loss_that_diverges_at_once_leaves_nothing(bars, tmp_path):
    with refused("loss-diverged", "in epoch 1, step ", "Nothing is kept"):
        train(bars, tmp_path, epochs=5, optimizer="sgd", learning_rate=1000.0, schedule="step")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", ["train", "val"])
def test_a_diverging_loss_stops_the_run_and_keeps_the_best(bars, tmp_path, monkeypatch, what):
    from torch.nn import functional as F

    real, calls = F.cross_entropy, []

    def diverging(logits, labels, *weights, **options):
        calls.append(logits.requires_grad)
        nan = calls.count(False) == 2 and logits.requires_grad == (what == "train")
        return real(logits, labels, *weights, **options) * (float("nan") if nan else 1)

    monkeypatch.setattr("torch.nn.functional.cross_entropy", diverging)
    with pytest.raises(TrainingError, match=f"in epoch {2 if what == 'val' else 3}, .+\\. Epoch [12] is kept"):
        train(bars, tmp_path, epochs=5)
    run = Run(tmp_path / "run")
    assert run.info.status == "failed"
    assert len(rows(run)) == (1 if what == "val" else 2)
    assert run.classifier().classes == ("bar", "line", "slope")


def test_an_interrupted_run_keeps_what_there_is(bars, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(bars, tmp_path, epochs=5)
    run = Run(tmp_path / "run")
    assert run.info.status == "interrupted"
    assert len(rows(run)) == 2
    assert (run.path / "curves.png").exists()
    assert run.classifier().classes == ("bar", "line", "slope")


def test_an_interrupt_before_the_first_epoch_leaves_nothing(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.loop.Trainer.fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(bars, tmp_path)
    assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_named_counted_and_left_out(bars, tmp_path, capsys):
    data = shutil.copytree(bars, tmp_path / "data")
    (data / "train" / "bar" / "000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 of 120 pictures cannot be read") as error:
        train(data, tmp_path, max_unreadable=0.0)
    assert "000.png" in error.value.cause
    assert "--max-unreadable 0.01" in error.value.remedy
    assert not (tmp_path / "run").exists()
    (data / "test" / "line" / "001.png").write_bytes(b"")
    run = train(data, tmp_path, max_unreadable=0.1, progress=True)
    said = capsys.readouterr().err
    assert said.count("Left out: ") == 2
    assert "000.png" in said
    assert "001.png" in said
    assert len(run.info.unreadable) == 2
    assert run.metrics["num_pictures"] == 17


def test_too_many_unreadable_test_pictures_stop_the_final_figures(bars, tmp_path, monkeypatch):
    # As if they had been damaged during the training.
    monkeypatch.setattr("zoo.training.train.check_test_pictures", lambda *_: None)
    data = shutil.copytree(bars, tmp_path / "data")
    for picture in (data / "test").rglob("*.png"):
        picture.write_bytes(b"")
    with pytest.raises(DataError, match="18 of 18 pictures cannot be read"):
        train(data, tmp_path)
    with pytest.raises(TrainingError, match="No test picture can be read"):
        train(data, tmp_path / "again", max_unreadable=1.0)
    assert Run(tmp_path / "run").info.status == "trained"


def test_a_class_without_a_readable_picture_stops(bars, tmp_path):
    data = shutil.copytree(bars, tmp_path / "data")
    for picture in (data / "train" / "line").iterdir():
        picture.write_bytes(b"")
    with pytest.raises(DataError, match="No picture of the class 'line'"):
        train(data, tmp_path, max_unreadable=1.0)


@pytest.mark.parametrize(
    ("options", "code", "fact"),
    [
        ({"image_size": 4}, "image-size-impossible", "8 pixels, not 4"),
        ({"strategy": "head", "views": 3}, "views-alike", "--augment"),
        ({"strategy": "full", "freeze_until": "layer9"}, "unknown-stage", "'layer9'"),
        ({"precision": "fp16", "device": "cpu"}, "precision-impossible", "fp16"),
        ({"loggers": "nobody"}, "unknown-name", "'nobody'"),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_is_written(bars, tmp_path, options, code, fact):
    with refused(code, fact):
        train(bars, tmp_path, **options)
    assert not (tmp_path / "run").exists()


def test_an_output_that_exists_is_not_touched(bars, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("precious")
    with refused("not-empty", "--output"):
        train(bars, tmp_path)
    assert (tmp_path / "run" / "mine.txt").read_text() == "precious"


def test_an_output_that_cannot_be_written_is_named(bars, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        zoo.train("tiny", str(bars), output=tmp_path / "file" / "run")


def test_the_newest_run_with_a_checkpoint_is_the_latest(trained, tmp_path):
    for name, created in (("old", "2020"), ("new", "2030"), ("broken", "2040")):
        shutil.copytree(trained.path, tmp_path / name)
        info = json.loads((tmp_path / name / "run.json").read_text())
        (tmp_path / name / "run.json").write_text(json.dumps({**info, "created": created}))
    (tmp_path / "broken" / "best.safetensors").unlink()
    assert [run.name for run in list_runs(tmp_path)] == ["broken", "new", "old"]
    assert latest_run(tmp_path).name == "new"


@pytest.mark.usefixtures("plots")
def test_names_that_mean_something_to_plots_and_consoles_are_only_names(tmp_path, capsys):
    names = ("$1_$5", "[bold]", "猫")
    run = train(write_folder(tmp_path / "data", {"train": 10, "val": 2}, classes=names), tmp_path, progress=True)
    assert "3: $1_$5, [bold], 猫" in capsys.readouterr().err
    assert (run.path / "confusion.png").exists()


def test_an_empty_folder_of_the_users_stays(bars, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr("zoo.training.loop.Trainer.fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", bars, output=tmp_path / "mine", image_size=16)
    assert not list((tmp_path / "mine").iterdir())


def test_two_runs_of_one_second_have_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.runs.folder.time.strftime", lambda _: "now")
    recipe = Recipe.make(backbone="tiny", dataset="bars")
    assert create_folder(recipe, None) != create_folder(recipe, None)


def test_a_run_is_found_again_from_another_folder(bars, tmp_path, monkeypatch):
    monkeypatch.chdir(bars.parent)
    run = zoo.train("tiny", "./bars", output=tmp_path / "run", epochs=1, image_size=16)
    monkeypatch.chdir(tmp_path)
    assert len(run.dataset().test) == 18


def test_weights_of_a_run_bring_their_preprocessing(trained, bars, tmp_path):
    run = train(bars, tmp_path, weights=str(trained.path / "best.safetensors"), image_size=None, epochs=1)
    assert run.preprocess == trained.preprocess
    assert run.info.plan.strategy == "finetune"
    assert run.info.weights.name == "best.safetensors"


def test_damaged_weights_are_named(trained, tmp_path):
    run = Run(shutil.copytree(trained.path, tmp_path / "run"))
    (run.path / "best.safetensors").write_bytes(b"abc")
    with pytest.raises(ArtifactError, match="weights of the run run cannot be read"):
        run.classifier()


def test_a_folder_without_a_run_says_so(tmp_path):
    with refused("run-missing"):
        Run(tmp_path)
    with refused("run-missing"):
        latest_run(tmp_path)
