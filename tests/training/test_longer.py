"""More epochs for a finished run: the last phase again, from the last weights, with a schedule of its own."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.errors import UsageError
from zoo.runs.run import Run

from ..refusals import refused
from ..watch import interrupt_after

OPTIONS = {"image_size": 24, "batch_size": 16, "augment": "none", "epochs": 2, "learning_rate": 0.01}

pytestmark = pytest.mark.usefixtures("no_plots")


def learned(bars, folder, **options):
    return zoo.train("tiny", bars, output=folder, **{**OPTIONS, **options})


def without_times(rows):
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def test_a_finished_run_gets_more_epochs(bars, tmp_path, capsys):
    run = learned(bars, tmp_path / "run", strategy="full")
    before, weights = without_times(run.rows()), torch.load(run.path / "last.ckpt", weights_only=True)["network"]
    longer = zoo.resume(run.path, epochs=5, progress=True)
    said = capsys.readouterr().err
    assert "Trains 3 more epochs of the phase full." in said
    assert "peak of 0.01, with the schedule cosine" in said
    rows = without_times(longer.rows())
    assert (len(rows), rows[:2]) == (5, before)
    assert float(rows[2]["learning_rate"]) > 0.3 * 0.01 > float(rows[1]["learning_rate"]) * 0.5
    again = Run(run.path)
    assert (again.info.status, again.info.plan.epochs, again.recipe.epochs) == ("finished", 5, 5)
    assert [(phase.name, phase.epochs) for phase in again.info.plan.phases] == [("full", 2), ("full", 3)]
    assert again.info.best_epoch > 2
    assert again.metrics == longer.metrics
    assert not torch.equal(again.weights()["2.weight"], weights["2.weight"])
    assert len(zoo.resume(run.path, epochs=6).rows()) == 6


@pytest.mark.parametrize("more", [{}, {"cache_budget": 0}])
def test_a_head_goes_on_from_what_it_learned(bars, tmp_path, more):
    run = learned(bars, tmp_path / "run", strategy="head", epochs=20, **more)
    rows = zoo.resume(run.path, epochs=22).rows()
    first, last, next_ = (float(rows[index]["val_loss"]) for index in (0, 19, 20))
    assert last < 0.8 * first
    assert next_ < (first + last) / 2


def test_the_head_before_finetune_does_not_count(bars, tmp_path):
    run = learned(bars, tmp_path / "run", strategy="finetune", head_epochs=3)
    with refused("epochs-done", "has 2 epochs"):
        zoo.resume(run.path, epochs=2)
    longer = zoo.resume(run.path, epochs=3)
    assert [row["phase"] for row in longer.rows()] == ["head"] * 3 + ["finetune"] * 3


def test_an_interrupted_extension_goes_on_to_the_same_bits(bars, tmp_path, monkeypatch):
    runs = [learned(bars, tmp_path / name, strategy="full", deterministic=True) for name in ("whole", "parts")]
    whole = zoo.resume(runs[0].path, epochs=4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 3)
        zoo.resume(runs[1].path, epochs=4)
    assert Run(runs[1].path).info.status == "interrupted"
    with refused("run-unfinished", kind=UsageError):
        zoo.resume(runs[1].path, epochs=5)
    parts = zoo.resume(runs[1].path)
    assert without_times(parts.rows()) == without_times(whole.rows())
    assert (parts.path / "best.safetensors").read_bytes() == (whole.path / "best.safetensors").read_bytes()


def test_what_cannot_be_longer_says_why(trained, bars, tmp_path):
    with refused("epochs-done", 6, kind=UsageError):
        zoo.resume(trained.path, epochs=6)
    with refused("run-finished", "--epochs N", kind=UsageError):
        zoo.resume(trained.path)
    with refused("resume-fixed-option", "seed", kind=UsageError):
        zoo.resume(trained.path, epochs=9, seed=1)
    run = learned(bars, tmp_path / "run", strategy="full", epochs=1)
    (run.path / "last.ckpt").unlink()
    with refused("checkpoint-missing", "--weights", kind=UsageError):
        zoo.resume(run.path, epochs=3)


def test_a_used_time_budget_does_not_end_it(bars, tmp_path):
    run = learned(bars, tmp_path / "run", strategy="full", epochs=50, time_budget="0.01s")
    assert len(run.rows()) < 3
    longer = zoo.resume(run.path, epochs=3)
    assert len(longer.rows()) == 3
    assert longer.recipe.time_budget is None
