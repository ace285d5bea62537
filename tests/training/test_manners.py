"""A training leaves the process in which it ran as it found it."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.errors import TrainingError
from zoo.training import manners
from zoo.training.api import train
from zoo.training.manners import CUBLAS, FABRIC, put_back


def state() -> dict[str, object]:
    return {
        "random": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "workspace": os.environ.get(CUBLAS),
        "loggers": [logging.getLogger(name).level for name in FABRIC],
    }


def test_a_training_changes_nothing_outside_itself(bars, tmp_path):
    torch.rand(3)
    before = state()
    train("tiny", bars, image_size=16, epochs=1, deterministic=True, output=tmp_path / "run")
    assert state() == before


def test_one_that_fails_does_not_either(bars, tmp_path, monkeypatch):
    def fail(*_):
        assert torch.are_deterministic_algorithms_enabled()
        torch.set_num_threads(1)
        raise TrainingError("It failed.", "Fix it.")

    monkeypatch.setattr("zoo.training.loop.Trainer.batch_loss", fail)
    before = state()
    with pytest.raises(TrainingError, match="It failed"):
        train("tiny", bars, image_size=16, epochs=1, deterministic=True, output=tmp_path / "run")
    assert state() == before


def test_what_was_set_by_others_stays(monkeypatch):
    monkeypatch.setenv(CUBLAS, ":16:8")
    with put_back(deterministic=True):
        assert os.environ[CUBLAS] == ":16:8"
    assert os.environ[CUBLAS] == ":16:8"


@pytest.mark.usefixtures("no_plots")
def test_the_random_numbers_before_do_not_matter(bars, tmp_path):
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        run = train("tiny", bars, image_size=16, epochs=1, dropout=0.5, output=tmp_path / f"run{seed}")
        weights.append(run.weights())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_the_allocator_is_as_it_was():
    command = [sys.executable, "-m", "tests.training.allocator"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_gpu_is_started_for_its_random_numbers():
    assert torch.cuda.is_initialized() or manners._seeded_gpus() == []
