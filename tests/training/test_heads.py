"""`--weights FILE` goes on from the head in the file, by the names of its classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from zoo.training.feature_cache import fold, unfold

from ..conftest import write_folder

OPTIONS = {"image_size": 24, "batch_size": 16, "augment": "none", "epochs": 1, "learning_rate": 1e-12}

pytestmark = pytest.mark.usefixtures("no_plots")


def go_on(pictures, weights, folder, **options):
    return zoo.train("tiny", pictures, weights=str(weights), output=folder, **{**OPTIONS, **options})


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("head", {}),
        ("head", {"cache_budget": 0}),
        ("finetune", {"head_epochs": 1, "head_learning_rate": 1e-12}),
        ("gradual", {"epochs": 3, "head_learning_rate": 1e-12}),
        ("full", {}),
    ],
)
def test_the_first_epoch_answers_as_the_file_did(trained, bars, tmp_path, strategy, more):
    run = go_on(bars, trained.path / "best.safetensors", tmp_path / "run", strategy=strategy, **more)
    first = run.rows()[0]
    full = strategy == "full"  # in which the statistics of BatchNorm move
    assert float(first["val_loss"]) == pytest.approx(trained.info.validation["val_loss"], rel=0.1 if full else 0.02)
    if not full:
        assert run.metrics["loss"] == pytest.approx(trained.metrics["loss"], rel=1e-3)
    assert run.info.weights.head == "The head starts from 'best.safetensors': 3 of 3 classes."
    assert run.info.weights.note == ""


@pytest.fixture
def others(tmp_path):
    """Two of the classes, in other places, and two new ones that look like the third."""
    root = write_folder(tmp_path / "data", {"train": 12, "val": 4}, classes=("slash", "line", "slope"))
    folders = {split: root / split for split in ("train", "val")}
    for folder in folders.values():
        (folder / "slash").rename(folder / "bar")  # `bar`, `line`, `slope`, as in the training
        (folder / "bar").rename(folder / "zebra")  # known by sight, not by name
    return root


def test_rows_are_matched_by_name(trained, others, tmp_path, capsys):
    run = zoo.train(
        "tiny", others, weights=str(trained.path / "best.safetensors"), output=tmp_path / "run", strategy="head",
        progress=True, **OPTIONS,
    )  # fmt: skip
    assert run.classes == ("line", "slope", "zebra")
    line = "The head starts from 'best.safetensors': 2 of 3 classes."
    assert run.info.weights.head == line
    assert line in capsys.readouterr().err
    old, new = trained.weights(), run.weights()
    for row, source in ((0, 1), (1, 2)):
        torch.testing.assert_close(new["2.weight"][row], old["2.weight"][source], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(new["2.bias"][row], old["2.bias"][source], rtol=1e-3, atol=1e-3)
    assert new["2.weight"][2].abs().max() < 1e-6


def test_a_file_without_names_says_which_order_it_must_have(trained, bars, tmp_path):
    torch.save(trained.weights(), tmp_path / "plain.pt")
    run = go_on(bars, tmp_path / "plain.pt", tmp_path / "run", strategy="head", mean=0.5, std=0.5)
    assert run.info.weights.head.endswith("so they must be these in this order: bar, line, slope.")
    assert run.metrics["loss"] == pytest.approx(trained.metrics["loss"], rel=1e-3)


def test_a_head_of_other_classes_starts_anew(trained, tmp_path):
    data = write_folder(tmp_path / "data", {"train": 12, "val": 4}, classes=("cat", "cow", "dog"))
    run = go_on(data, trained.path / "best.safetensors", tmp_path / "run", strategy="head")
    assert run.info.weights.head == ""
    assert "knows none of these classes" in run.info.weights.note
    assert run.weights()["2.weight"].abs().max() < 1e-6  # as ever: no class is preferred


def test_an_interrupted_run_keeps_its_head(trained, bars, tmp_path, monkeypatch):
    from ..watch import interrupt_after

    options = {"strategy": "finetune", "head_epochs": 2, "head_learning_rate": 0.01, "learning_rate": 0.001}
    whole = go_on(bars, trained.path / "best.safetensors", tmp_path / "whole", **options, cache_budget=0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        go_on(bars, trained.path / "best.safetensors", tmp_path / "run", **options, cache_budget=0)
    run = zoo.resume(tmp_path / "run")
    assert run.info.weights.head
    for name, value in run.weights().items():
        torch.testing.assert_close(value, whole.weights()[name], rtol=0, atol=0)


@pytest.mark.parametrize("head", [nn.Linear(5, 3), nn.Conv2d(5, 3, 1)])
def test_unfolding_is_the_inverse_of_folding(head):
    torch.manual_seed(0)
    mean, std = torch.randn(5), torch.rand(5) + 0.5
    features = torch.randn(7, 5) if isinstance(head, nn.Linear) else torch.randn(7, 5, 2, 2)
    shape = (1, 5, *[1] * (features.ndim - 2))
    before, weight = head(features), head.weight.clone()
    unfold(head, mean, std)
    torch.testing.assert_close(head((features - mean.view(shape)) / std.view(shape)), before, rtol=1e-4, atol=1e-5)
    fold(head, mean, std)
    torch.testing.assert_close(head.weight, weight)
