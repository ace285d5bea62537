"""What a training says of itself: how long it takes, and what its own figures advise."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from zoo.errors import TrainingError
from zoo.models.pretrained import WeightsReport
from zoo.progress import Reporter, in_words
from zoo.recipes.recipe import Recipe
from zoo.runs.info import PhasePlan
from zoo.specs import PreprocessSpec, Stage
from zoo.training import advice, duration
from zoo.training.advice import overfitting
from zoo.training.api import train
from zoo.training.duration import (
    ETA,
    LONG_SECONDS,
    TIMED_PICTURES,
    TIMED_STEPS,
    expected_seconds,
    stage_seconds,
)
from zoo.training.history import History
from zoo.training.listeners import Console
from zoo.training.setup import prepare, resolve

pytestmark = pytest.mark.usefixtures("no_plots")

QUIET = Reporter(quiet=True)


def setup(bars, **options):
    recipe = Recipe.make(backbone="tiny", dataset=str(bars), image_size=16, device="cpu", **options)
    return prepare(resolve(recipe), QUIET)


def rows(train_top1: float, val_top1: float) -> list[dict]:
    """Five epochs, the last of which has these figures."""
    return [{"train_top1": 0.5, "val_top1": 0.5}] * 4 + [{"train_top1": train_top1, "val_top1": val_top1}]


def test_training_pictures_that_are_known_far_better_are_said():
    options = {"--augment photos": False, "--dropout 0.2": True, "--early-stopping 3": False}
    said = overfitting(rows(1.0, 0.8), 2, 500, options)
    assert "in epoch 5, 100.00% of the training pictures are right and 80.00% of the validation pictures" in said
    assert "--augment photos" in said
    assert "--dropout" not in said
    assert "--early-stopping 3" in said


@pytest.mark.parametrize(
    ("figures", "validation", "best"),
    [
        ((0.9, 0.85), 500, 2),  # a small gap
        ((0.8, 0.95), 500, 2),  # augmented training pictures are harder
        ((1.0, 0.5), 49, 2),  # too few pictures
        ((1.0, 0.87), 60, 2),  # of sixty pictures, chance
        ((1.0, 0.8), 500, 3),  # too soon after the best epoch: it may still learn
        ((1.0, 0.8), 500, 0),  # none is kept
    ],
)
def test_other_gaps_are_not(figures, validation, best):
    assert overfitting(rows(*figures), best, validation, {}) == ""


def test_a_frozen_random_network_says_what_to_expect_and_what_to_take(bars):
    (said,) = advice.advice_before(setup(bars, strategy="head", weights="none"))
    assert "The stages up to body stay frozen with random weights" in said
    assert "Backbones with installed weights: efficientnet_lite0" in said
    assert advice.advice_before(setup(bars, strategy="full", weights="none")) == []


@pytest.mark.parametrize("strategy", ["finetune", "gradual"])
def test_random_weights_are_not_trained_gently_in_silence(bars, strategy):
    (said,) = advice.advice_before(setup(bars, strategy=strategy, weights="none"))
    assert f"starts from random weights; the strategy {strategy} trains them too slowly" in said
    assert "efficientnet_lite0" in said
    assert said.endswith("--strategy full.")


def test_a_training_says_so_before_its_pictures_are_decoded(bars, tmp_path, capsys):
    train("tiny", bars, image_size=16, strategy="head", weights="none", output=tmp_path / "run", progress=True)
    said = capsys.readouterr().err
    assert 0 < said.index("stay frozen with random weights") < said.index("Decoded pictures")


def slow(monkeypatch, seconds):
    """Each of the three stages of `tiny` takes so long for a picture."""
    monkeypatch.setattr(advice, "stage_seconds", lambda *_: [seconds] * 3)


def test_a_long_training_names_what_shortens_it_and_how_long_that_takes(bars, monkeypatch):
    weights = setup(bars, weights="none").network
    prepared = dataclasses.replace(
        setup(bars, strategy="full", weights="none", epochs=2, batch_size=8),
        weights=WeightsReport(name="V1", pretrained=True),
        network=weights,
    )
    slow(monkeypatch, 5.0)
    (said,) = advice.advice_before(prepared)
    # 120 and 18 pictures: 2 epochs * 15 s * (3 * 120 + 18), and 15 s * 138
    assert said.startswith("This training takes about 3.1 h on this machine. Shorter: --strategy head (about 34 min)")
    assert said.endswith("fewer --epochs.")
    (shared,) = advice.advice_before(prepared, processes=2)
    assert "takes about 94 min" in shared
    slow(monkeypatch, 0.01)
    assert advice.advice_before(prepared) == []


def test_a_time_budget_is_kept_so_nothing_takes_longer(bars, monkeypatch):
    slow(monkeypatch, 5.0)
    assert advice.advice_before(setup(bars, strategy="full", weights="none", time_budget="10m")) == []
    (said,) = advice.advice_before(setup(bars, strategy="full", weights="none", time_budget="1h"))
    assert "takes about 60 min" in said


def test_random_weights_get_no_advice_to_freeze_them(bars, monkeypatch):
    slow(monkeypatch, 5.0)
    (said,) = advice.advice_before(setup(bars, strategy="full", weights="none"))
    assert "--strategy head" not in said


def test_a_size_that_the_backbone_does_not_take_is_not_named(bars, monkeypatch):
    large = setup(bars, strategy="full", weights="none")
    large = dataclasses.replace(large, plan=dataclasses.replace(large.plan, preprocess=PreprocessSpec(image_size=224)))
    slow(monkeypatch, 5.0)
    assert "--image-size 128 (about " in advice.advice_before(large)[0]
    fixed = dataclasses.replace(large.backbone.spec, fixed_image_size=True, min_image_size=224)
    backbone = dataclasses.replace(large.backbone, resolve=lambda: fixed)
    assert "--image-size" not in advice.advice_before(dataclasses.replace(large, backbone=backbone))[0]


def test_features_that_are_stored_are_computed_once_per_view():
    head, everything = PhasePlan("head", 2, 20, (1.0,)), PhasePlan("full", 0, 3, (1.0,) * 3)
    partly, stages, pictures = PhasePlan("full", 1, 10, (1.0,) * 2), [0.1, 0.2, 0.01], (100, 10)

    def expected(*phases, stored=True, views=4):
        return expected_seconds(phases, stages, pictures, views=views, stored=stored)

    assert expected(head) == pytest.approx(0.3 * 410 + 0.01 * 20 * 310)
    assert expected(head, stored=False) == pytest.approx(0.3 * 20 * 110 + 0.01 * 20 * 310)
    assert expected(partly) == pytest.approx(0.1 * 410 + 0.21 * 10 * 310)
    assert expected(everything) == pytest.approx(0.31 * 3 * 310)
    assert expected(head, everything) == pytest.approx(expected(head) + expected(everything))


def test_only_what_shortens_a_training_is_named():
    ways = [("--strategy head", 60.0), ("--image-size 128", 99999.0)]
    assert duration.advice(LONG_SECONDS, ways, "fewer --epochs").endswith(
        "takes about 20 min on this machine. Shorter: --strategy head (about 60 s), fewer --epochs."
    )
    assert duration.advice(LONG_SECONDS - 1, ways, "fewer --epochs") == ""


def test_the_trial_finds_the_slow_stage_and_takes_nothing_from_the_training():
    class Slow(nn.Module):
        def forward(self, images):
            time.sleep(0.05)
            return images

    parts = OrderedDict(stem=nn.Conv2d(3, 4, 3), slow=Slow(), norm=nn.BatchNorm2d(4), drop=nn.Dropout())
    network = nn.Sequential(parts).train()
    stages = [Stage("stem", ("stem",)), Stage("body", ("slow", "norm")), Stage("head", ("drop",))]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = stage_seconds(network, stages, torch.zeros(1, 3, 8, 8))
    assert max(range(3), key=found.__getitem__) == 1
    assert found[1] >= 0.05 / TIMED_PICTURES
    assert network.training
    assert not network.stem._forward_hooks
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("seconds", "words"), [(59.6, "60 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_in_the_unit_that_suits_them(seconds, words):
    assert in_words(seconds) == words


def test_the_expected_time_is_said_once_after_ten_steps(monkeypatch, capsys):
    now = iter(range(100))
    monkeypatch.setattr(duration.time, "perf_counter", lambda: next(now))
    eta = ETA(500, Reporter())
    for _ in range(TIMED_STEPS):
        eta.tick()
    assert capsys.readouterr().err == ""
    for _ in range(5):
        eta.tick()
    assert capsys.readouterr().err == "Expected training time: about 8 min.\n"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_names_the_batch_and_the_size(bars, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("zoo.training.loop.Trainer.batch_loss", fail)
    with pytest.raises(TrainingError) as caught:
        train("tiny", bars, image_size=16, strategy="full", batch_size=8, device="cpu", output=tmp_path / "run")
    assert caught.value.cause == "This machine has too little memory for batches of 8 pictures of 16 pixels."
    assert caught.value.remedy.startswith("Give --batch-size 4 --accumulate 2, with the same result, or a smaller ")


@pytest.mark.parametrize(
    "text",
    ["MPS backend out of memory (1 GiB)", "CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED"],
)
def test_every_way_to_say_so_is_known(bars, text):
    prepared = setup(bars, strategy="full", weights="none", batch_size=3)
    on_gpu = dataclasses.replace(prepared, plan=dataclasses.replace(prepared.plan, device="cuda"))
    with pytest.raises(TrainingError) as caught, advice.within_memory(on_gpu):
        raise RuntimeError(text)
    assert caught.value.cause.startswith("The GPU has too little memory for batches of 3 pictures")
    assert "--batch-size" not in caught.value.remedy  # one of 1 would be refused
    with pytest.raises(RuntimeError, match="another"), advice.within_memory(on_gpu):
        raise RuntimeError("another")


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


def test_the_running_figures_are_those_of_the_epoch_so_far(bars, tmp_path, capsys):
    options = {"image_size": 16, "strategy": "full", "epochs": 3, "batch_size": 10, "log_every": 11}
    run = train("tiny", bars, **options, output=tmp_path / "run", progress=True)
    lines = re.findall(r"11 of 12, loss (\d\.\d+), accuracy (\d+\.\d+)%", capsys.readouterr().err)
    assert len(lines) == 3
    for (loss, accuracy), row in zip(lines, run.rows(), strict=True):
        right, total = float(accuracy) / 100 * 110, float(row["train_top1"]) * 120
        assert right == pytest.approx(round(right), abs=0.02)
        assert total - 10.1 <= right <= total + 0.1
        assert 0 <= float(row["train_loss"]) * 120 - float(loss) * 110 <= 10 * 3


@pytest.mark.parametrize(("monitor", "starred"), [("loss", "*  "), ("accuracy", "***")])
def test_the_star_stands_at_the_figure_that_chose(tmp_path, capsys, monitor, starred):
    history = History(tmp_path, monitor)
    console = Console(Reporter(), history.monitored)
    console.on_fit_start(3)
    for loss, top1 in ((0.5, 0.7), (0.6, 0.8), (0.7, 0.9)):
        figures = {"train_loss": 0.1, "train_top1": 0.9, "val_loss": loss, "val_top1": top1}
        row, better = history.add({"phase": "full", **figures, "seconds": 1.0, "images_per_second": 10.0})
        console.on_epoch_end(row, better=better)
    legend, heading, *lines = capsys.readouterr().err.strip().splitlines()
    assert legend == f"* is the best validation {monitor} so far: the weights of that epoch are kept."
    title = "val loss" if monitor == "loss" else "val acc"
    behind = heading.index(title) + len(title)
    assert [line.split()[0] for line in lines] == ["1/3", "2/3", "3/3"]
    assert "".join(line[behind] for line in lines) == starred
    assert [line.count("*") for line in lines] == [int(mark == "*") for mark in starred]
