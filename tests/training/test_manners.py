"""A training leaves the process in which it ran as it found it."""

from __future__ import annotations

import logging
import os
import platform

import numpy as np
import pytest
import torch

from zoo.errors import TrainingError
from zoo.processes.memory import freed_memory_kept, resident_bytes
from zoo.training import manners
from zoo.training.manners import CUBLAS, FABRIC, put_back
from zoo.training.train import train


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


def test_the_random_numbers_before_do_not_matter(bars, tmp_path):
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        run = train("tiny", bars, image_size=16, epochs=1, dropout=0.5, output=tmp_path / f"run{seed}")
        weights.append(run.weights())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def kept_share(block: int, above: int = 0) -> float:
    """Takes 256 MiB in blocks, frees them, and returns the share of it that stays with the process.

    Args:
        block: size in bytes.
        above: size in bytes of a block that is taken after these and is still in use when they are freed.
    """
    total = 2**28
    before = resident_bytes()
    blocks = [np.ones(block, np.uint8) for _ in range(total // block)]
    assert resident_bytes() - before > 0.9 * total
    last = np.ones(above, np.uint8)
    del blocks
    kept = (resident_bytes() - before) / total
    del last
    return kept


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_the_allocator_is_as_it_was():
    before = resident_bytes()
    with freed_memory_kept():
        assert kept_share(2**28) > 0.9
    assert resident_bytes() - before < 0.5 * 2**28
    assert kept_share(2**28, above=2**26) < 0.5  # it was mapped by itself
    assert kept_share(2**16) < 0.5  # the end of the heap went back


def test_no_gpu_is_started_for_its_random_numbers():
    assert torch.cuda.is_initialized() or manners._seeded_gpus() == []
