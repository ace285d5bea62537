"""A GPU without memory: what is said, what is given back, and that the process can go on."""

import gc
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.errors import TooLittleMemoryError, TrainingError
from zoo.training.loop import Trainer

from ..watch import interrupt_after

pytestmark = [pytest.mark.cuda, pytest.mark.usefixtures("no_plots")]

MEBI = 2**20
# 120 pictures of 512 pixels are 360 MiB in fp32.
TOO_MUCH = {"image_size": 512, "batch_size": 120, "epochs": 1, "strategy": "full"}
SAID = "CUDA out of memory. Tried to allocate 1.00 GiB."
# The command itself, in a process that may take 128 MiB of the GPU; in a dry run, nothing.
COMMAND = f"""
import sys
import torch
from zoo.cli import main
from zoo.training.loop import Trainer

if sys.argv.pop(1) == "cuda":
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(128 * 2**20 / total)
else:
    def fail(*_):
        raise torch.OutOfMemoryError({SAID!r})
    Trainer.batch_loss = fail
sys.exit(main())
"""


@pytest.fixture
def little_memory(device, monkeypatch):
    """A context in which the GPU has so many MiB more than it holds. In a dry run, every batch fails instead."""

    def fail(*_):
        raise torch.OutOfMemoryError(SAID)

    @contextmanager
    def limited(mebibytes=64):
        if device == "cpu":
            with monkeypatch.context() as patch:
                patch.setattr(Trainer, "batch_loss", fail)
                yield
            return
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + mebibytes * MEBI) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    return limited


def test_it_names_what_would_take_less(learn, little_memory, device, tmp_path):
    with little_memory(), pytest.raises(TrainingError) as caught:
        learn(**TOO_MUCH)
    where = "The GPU" if device == "cuda" else "This machine"
    assert caught.value.cause == f"{where} has too little memory for batches of 120 pictures of 512 pixels."
    assert "--batch-size 60 --accumulate 2" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_the_memory_is_given_back_and_a_smaller_training_runs(learn, little_memory, tell):
    allocated = torch.cuda.memory_allocated if torch.cuda.is_available() else int
    learn(name="first", strategy="full")  # the libraries keep a workspace of their own
    gc.collect()
    before = allocated()
    with little_memory(), pytest.raises(TrainingError):
        learn(**TOO_MUCH)
    gc.collect()
    tell(f"{(allocated() - before) / MEBI:.1f} MiB stay allocated after the failure")
    assert allocated() - before < 8 * MEBI
    run = learn(name="smaller", strategy="full")
    assert run.metrics["top1"] > 0.5


def test_a_checkpoint_from_before_can_go_on(learn, little_memory, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            learn(strategy="full")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "batch_loss", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError(SAID)))
        with pytest.raises(TrainingError, match="too little memory"):
            zoo.resume(tmp_path / "run")
    assert zoo.resume(tmp_path / "run").info.status == "finished"


def test_the_command_ends_in_two_sentences(bars, tmp_path, device):
    options = ["--image-size", "512", "--batch-size", "120", "--strategy", "full", "--output", tmp_path / "run"]
    words = [device, "train", "tiny", bars, "--device", device, *options]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, words)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "too little memory for batches of 120 pictures of 512" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("gpu")
def test_a_picture_that_does_not_fit_costs_that_picture(learn, little_memory, bars, tmp_path):
    predictor = zoo.load(zoo.export(learn(strategy="full"), "torchscript").path, "cuda")
    small = sorted((bars / "test").rglob("*.png"))
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((1990, 1990, 3), np.uint8)).save(large)  # 48 MB in fp32, and more on its way
    expected = predictor.logits(small)
    with little_memory(24):
        assert np.allclose(predictor.logits(small), expected, rtol=1e-3, atol=1e-3)
        with pytest.raises(TooLittleMemoryError):
            predictor.logits([large])
        assert np.allclose(predictor.logits(small), expected, rtol=1e-3, atol=1e-3)
    assert predictor.logits([large]).shape == (1, 3)
