import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app
from zoo.errors import TrainingError
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.training.learner import TrainState
from zoo.training.lr_find import SETTLING, flat, is_near, lr_find, smooth, suggest
from zoo.training.strategies import default_learning_rate

from ..conftest import write_folder

RATES = np.geomspace(1e-7, 10, 100)
CHANCE = np.log(10)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))  # a step down, steepest at 1e-3
    losses[75:] += np.arange(25) ** 2.0
    assert suggest(RATES, losses) == pytest.approx(1e-3, rel=0.1)


def test_a_fall_behind_the_lowest_loss_does_not_count():
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    losses[80:90] = 50
    losses[90:] = 2
    assert suggest(RATES, losses) == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 100), np.ones(SETTLING - 1)])
def test_a_loss_that_never_falls_has_no_suggestion(losses):
    assert flat(losses, losses, CHANCE) == "no rate lowered the loss"


def test_a_fall_within_the_noise_has_no_suggestion():
    noise = np.random.default_rng(0).normal(2, 0.2, 100)
    assert flat(noise, smooth(list(noise)), CHANCE) == "the loss falls by no more than its noise"
    falls = noise - 1.2 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    assert flat(falls, smooth(list(falls)), CHANCE) == ""


def test_what_two_sweeps_cannot_tell_apart_is_near():
    assert is_near(0.00076, 0.001)
    assert is_near(0.0013, 0.001)
    assert not is_near(0.0004, 0.001)
    assert not is_near(0.003, 0.001)


def test_a_head_that_has_learned_leaves_nothing_to_measure():
    losses = 0.05 - 0.04 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    assert "low before the sweep begins (0.05)" in flat(losses, losses, CHANCE)
    assert flat(20 * losses, 20 * losses, CHANCE) == ""


def test_noise_at_the_start_is_no_descent():
    losses = 2 - 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    losses[0] = 5
    assert suggest(RATES, losses) == pytest.approx(1e-3, rel=0.1)


def test_smoothing_has_no_bias_at_its_start():
    assert smooth([3.0] * 20) == pytest.approx(np.full(20, 3.0))
    rising = smooth([0.0] * 10 + [1.0] * 10)
    assert 0 < rising[10] < rising[-1] < 1


@pytest.mark.parametrize("strategy", ["full", "finetune", "head", "gradual"])
def test_it_suggests_a_rate_that_trains(bars, strategy):
    recipe = Recipe.make(
        backbone="tiny", dataset=str(bars), strategy=strategy, image_size=16, batch_size=16, augment="none"
    )
    sweep = lr_find(recipe, Reporter(quiet=True))
    assert len(sweep.rates) == len(sweep.losses) > SETTLING
    assert sweep.present == default_learning_rate("adamw", strategy)
    if strategy in ("full", "head"):  # the others begin with a head that has learned
        assert sweep.losses.min() < 0.9 * sweep.losses[0]
    assert 1e-5 < sweep.suggestion < 3
    assert not sweep.reason


def test_the_command_leaves_a_plot_and_a_table_and_nothing_else(bars, tmp_path):
    output = tmp_path / "found"
    arguments = ["lr-find", "tiny", bars, "--image-size", 16, "--strategy", "full", "--output", output, "--json"]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    assert {path.name for path in output.iterdir()} == {"lr-find.png", "lr-find.csv"}
    rows = list(csv.DictReader((output / "lr-find.csv").read_text().splitlines()))
    assert [float(row["loss"]) for row in rows] == answer["losses"]
    assert answer["suggestion"] in answer["learning_rates"]
    assert np.asarray(Image.open(output / "lr-find.png")).std() > 10


def test_the_command_that_follows_has_the_same_options(bars, tmp_path):
    arguments = ["lr-find", "tiny", bars, "--image-size", 16, "--strategy", "full", "--optimizer", "sgd"]
    said = CliRunner().invoke(
        app, [*map(str, arguments), "--no-nesterov", "--learning-rate", "3", "--output", str(tmp_path), "--json"]
    )
    assert said.exit_code == 0, said.output
    answer = json.loads(said.stdout)
    rate = f"{answer['suggestion']:.2g}"
    options = f"--strategy full --image-size 16 --optimizer sgd --no-nesterov --learning-rate {rate}"
    assert answer["command"] == f"zoo train tiny {bars} {options}"


def test_accumulated_batches_are_one_batch(tmp_path):
    data = str(write_folder(tmp_path, {"train": 32, "val": 2}))
    fixed = {"backbone": "tiny", "dataset": data, "strategy": "head", "image_size": 16, "precision": "fp32"}
    whole = lr_find(Recipe.make(**fixed, batch_size=16), Reporter(quiet=True))
    parts = lr_find(Recipe.make(**fixed, batch_size=8, accumulate=2), Reporter(quiet=True))
    assert parts.losses[:80] == pytest.approx(whole.losses[:80], rel=1e-3)


def test_stages_keep_their_ratio_to_the_head(bars, monkeypatch):
    swept, descend = [], TrainState.descend

    def watched(self, loss):
        swept.append([group["lr"] for group in self.optimizer.param_groups])
        descend(self, loss)

    monkeypatch.setattr(TrainState, "descend", watched)
    recipe = Recipe.make(backbone="tiny", dataset=str(bars), strategy="full", layer_decay=0.5, image_size=16)
    sweep = lr_find(recipe, Reporter(quiet=True))
    heads = sweep.rates[: len(swept)]
    assert len(swept) > 50
    for share in (0.25, 0.5, 1):  # stem, body, head; weights apart from biases
        assert sum(np.allclose([row[group] for row in swept], share * heads) for group in range(len(swept[0]))) == 2


def test_a_loss_that_is_no_number_is_said_to_be_none_and_leaves_nothing(bars, tmp_path):
    output = tmp_path / "found"
    arguments = ["lr-find", "tiny", bars, "--image-size", 16, "--std", "1e-40", "--output", output]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert isinstance(said.exception, TrainingError)
    assert "infinite or undefined before the first step" in said.exception.cause
    assert "--std" in said.exception.remedy
    assert not output.exists()


def test_a_folder_that_is_a_file_is_refused(bars, tmp_path):
    (tmp_path / "file").touch()
    said = CliRunner().invoke(app, ["lr-find", "tiny", str(bars), "--output", str(tmp_path / "file")])
    assert said.exit_code != 0
    assert "is a file" in str(said.exception)


def test_without_a_suggestion_the_command_keeps_the_default(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.training.lr_find.LEARNED", 10)
    arguments = ["lr-find", "tiny", bars, "--image-size", 16, "--strategy", "finetune", "--output", tmp_path]
    said = CliRunner().invoke(app, list(map(str, arguments)))
    assert said.exit_code == 0, said.output
    assert "No suggestion: the loss" in said.stdout
    assert "Keep the present rate, 0.0005." in said.stdout
    assert said.stdout.rstrip().endswith(f"zoo train tiny {bars} --strategy finetune --image-size 16")
    assert np.asarray(Image.open(tmp_path / "lr-find.png")).std() > 10
