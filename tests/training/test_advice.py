"""What a training says of itself: how long it takes, and what its own figures advise."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from zoo.errors import TrainingError
from zoo.progress import Reporter
from zoo.recipes.recipe import Recipe
from zoo.registry import registry
from zoo.training import advice, duration
from zoo.training.advice import overfitting
from zoo.training.duration import ETA, LONG_SECONDS, TIMED_STEPS, expected_seconds, forward_seconds, in_words
from zoo.training.setup import prepare
from zoo.training.strategies import PhasePlan
from zoo.training.train import train

QUIET = Reporter(quiet=True)


def setup(bars, **options):
    recipe = Recipe.make(backbone="tiny", dataset=str(bars), image_size=16, **options)
    return prepare(recipe, registry().backbone("tiny").spec, QUIET)


def rows(train_top1: float, val_top1: float) -> list[dict]:
    return [{"train_top1": 0.5, "val_top1": 0.5}, {"train_top1": train_top1, "val_top1": val_top1}]


def test_training_pictures_that_are_known_far_better_are_said():
    said = overfitting(rows(1.0, 0.8), 2, 500, {"--augment photos": False, "--dropout 0.2": True})
    assert "in epoch 2, 100% of the training pictures are right and 80% of the validation pictures" in said
    assert "--augment photos" in said
    assert "--dropout" not in said


@pytest.mark.parametrize(
    ("figures", "validation", "best"),
    [
        ((0.9, 0.85), 500, 2),  # a small gap
        ((0.8, 0.95), 500, 2),  # augmented training pictures are harder
        ((1.0, 0.8), 20, 2),  # of twenty pictures, chance
        ((1.0, 0.8), 500, 1),  # another epoch is kept
        ((1.0, 0.8), 500, 0),  # none is kept
    ],
)
def test_other_gaps_are_not(figures, validation, best):
    assert overfitting(rows(*figures), best, validation, {}) == ""


def test_a_frozen_random_network_says_what_to_expect_and_what_to_take(bars):
    (said,) = advice.advice_before(setup(bars, strategy="head", weights="none"))
    assert "The stages up to body stay frozen with random weights" in said
    assert "With weights that are installed: efficientnet_lite0" in said
    assert advice.advice_before(setup(bars, strategy="full", weights="none")) == []


def test_a_training_says_so_before_its_pictures_are_decoded(bars, tmp_path, capsys):
    train("tiny", bars, image_size=16, strategy="head", weights="none", output=tmp_path / "run", progress=True)
    said = capsys.readouterr().err
    assert 0 < said.index("stay frozen with random weights") < said.index("Decoded pictures")


def test_a_long_training_names_what_shortens_it_and_how_long_that_takes(bars, monkeypatch):
    monkeypatch.setattr(advice, "forward_seconds", lambda *_: 10.0)
    (said,) = advice.advice_before(setup(bars, strategy="full", weights="none", epochs=2))
    # 120 and 18 pictures: 2 * 10 s * (3 * 120 + 18)
    assert said.startswith("This training takes about 2.1 h on this machine. Shorter: --strategy head (about 23 min)")
    monkeypatch.setattr(advice, "forward_seconds", lambda *_: 0.01)
    assert advice.advice_before(setup(bars, strategy="full", weights="none", epochs=2)) == []


def test_stored_features_count_once_per_view():
    head, everything = PhasePlan("head", 2, 20, (1.0,)), PhasePlan("full", 0, 3, (1.0,) * 3)
    assert expected_seconds([head], 3, 0.1, (100, 10), 4) == pytest.approx(0.1 * (4 * 100 + 10))
    assert expected_seconds([everything], 3, 0.1, (100, 10), 4) == pytest.approx(0.1 * 3 * (300 + 10))


def test_a_smaller_size_is_named_where_there_is_one():
    assert "--image-size 128 (about 33 min)" in duration.advice(100 * 60, "full", 224, 60)
    assert "--image-size" not in duration.advice(LONG_SECONDS, "full", 32, 60)
    assert "--strategy head" not in duration.advice(LONG_SECONDS, "head", 224, 60)


def test_the_trial_takes_nothing_from_the_training():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert forward_seconds(network, torch.zeros(1, 3, 8, 8)) > 0
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("seconds", "words"), [(59.6, "60 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_in_the_unit_that_suits_them(seconds, words):
    assert in_words(seconds) == words


def test_the_expected_time_is_said_once_after_ten_steps(monkeypatch, capsys):
    now = iter(range(100))
    monkeypatch.setattr(duration.time, "perf_counter", lambda: next(now))
    tick = ETA(500, Reporter()).before(lambda *_: None)
    for _ in range(TIMED_STEPS):
        tick(1)
    assert capsys.readouterr().err == ""
    for _ in range(5):
        tick(1)
    assert capsys.readouterr().err == "Expected training time: about 8 min.\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_names_the_batch_and_the_size(bars, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("zoo.training.loop.Trainer.batch_loss", fail)
    with pytest.raises(TrainingError) as caught:
        train("tiny", bars, image_size=16, strategy="full", batch_size=8, output=tmp_path / "run")
    assert caught.value.cause == "This machine has too little memory for batches of 8 pictures of 16 pixels."
    assert "--batch-size 4 --accumulate 2" in caught.value.remedy


def test_a_log_gets_a_line_for_every_so_many_batches(bars, tmp_path, capsys):
    options = {"image_size": 16, "strategy": "full", "epochs": 2, "batch_size": 10, "log_every": 5}
    train("tiny", bars, **options, output=tmp_path / "run", progress=True)
    lines = re.findall(
        r"^full (\d)/2: (\d+) of 12, loss \d\.\d{4}, accuracy \d+\.\d{2}%$", capsys.readouterr().err, re.M
    )
    assert lines == [("1", "5"), ("1", "10"), ("2", "5"), ("2", "10")]


def test_a_log_gets_a_line_a_minute(monkeypatch, capsys):
    now = iter([0, 10, 59, 61, 100, 122, 130])
    monkeypatch.setattr("zoo.progress.time", SimpleNamespace(perf_counter=lambda: next(now)))
    with Reporter().bar("full 1/2", 6) as bar:
        for step in range(6):
            bar(1, lambda step=step: f"step {step}")
    assert capsys.readouterr().err == "full 1/2: 3 of 6, step 2\nfull 1/2: 5 of 6, step 4\n"
