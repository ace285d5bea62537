"""A training that was ended goes on as if nothing had happened."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import DataError
from zoo.metrics import summarise
from zoo.runs.folder import in_use
from zoo.runs.run import Run
from zoo.training import checkpoint
from zoo.training.history import History
from zoo.training.loop import Trainer

from ..conftest import write_folder
from ..endless import wait_for
from ..refusals import refused
from ..watch import classify, interrupt_after, train, undrawn

TIMES = ("seconds", "images_per_second")


@pytest.fixture
def fine(monkeypatch):
    """Checkpoints after every second batch, and no plots."""
    undrawn(monkeypatch)
    monkeypatch.setattr("zoo.training.loop.CHECKED_STEPS", 2)


class Killed(BaseException):
    """Not an Exception: nothing but clean-up code sees it."""


def rows(run):
    table = csv.DictReader((run.path / "metrics.csv").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in TIMES} for row in table]


def same(first, second):
    """Whether two runs have the same rows, figures, best weights and last state, to the bit."""
    states = [torch.load(run.path / "last.ckpt", weights_only=True)["network"] for run in (first, second)]
    return (
        rows(first) == rows(second)
        and first.metrics == second.metrics
        and all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        and (first.path / "best.safetensors").read_bytes() == (second.path / "best.safetensors").read_bytes()
    )


def ended(monkeypatch, bars, tmp_path, *, after, **options):
    """A training that dies before its batch number `after`."""
    real, calls = Trainer.batch_loss, []

    def loss(self, *arguments):
        calls.append(None)
        if len(calls) == after:
            raise Killed
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "batch_loss", loss)
        with pytest.raises(Killed):
            train(bars, tmp_path, name="ended", **options)
    return tmp_path / "ended"


BASE = {"epochs": 4, "checkpoint_minutes": 0.0, "learning_rate": 0.02, "deterministic": True}


@pytest.mark.parametrize(
    ("after", "options"),
    [
        (21, {}),
        (5, {"augment": "photos", "dropout": 0.3}),
        (30, {"augment": "light", "ema": 0.9, "schedule": "plateau", "patience": 0, "monitor": "accuracy"}),
        (14, {"mixup": 0.3, "cutmix": 1.0, "optimizer": "sgd", "schedule": "onecycle", "clip_norm": 1.0}),
        (27, {"accumulate": 3, "schedule": "multistep", "milestones": "2,3", "sampling": "balanced"}),
        (19, {"strategy": "head", "augment": "photos", "views": 2}),
        (19, {"strategy": "head", "cache_budget": "0", "augment": "light"}),
        (170, {"strategy": "finetune", "augment": "light", "early_stopping": 2}),
        (75, {"strategy": "gradual", "epochs": 12, "augment": "photos", "views": 2}),
        (23, {"strategy": "full", "freeze_until": "body", "augment": "photos", "ema": 0.8, "dropout": 0.2}),
        (11, {"precision": "bf16", "augment": "photos", "schedule": "step"}),
    ],
)
@pytest.mark.usefixtures("fine")
def test_what_goes_on_ends_as_what_was_never_interrupted(bars, tmp_path, monkeypatch, after, options):
    options = BASE | options
    whole = train(bars, tmp_path, name="whole", **options)
    folder = ended(monkeypatch, bars, tmp_path, after=after, **options)
    assert Run(folder).info.status != "finished"
    resumed = zoo.resume(folder)
    assert resumed.info.status == "finished"
    assert same(whole, resumed)


@pytest.mark.usefixtures("fine")
def test_a_network_that_asks_for_the_version_of_its_weights_goes_on(bars, tmp_path, monkeypatch):
    options = BASE | {"backbone": "mnasnet0_5", "weights": "none", "image_size": 32, "epochs": 2, "ema": 0.9}
    assert zoo.resume(ended(monkeypatch, bars, tmp_path, after=10, **options)).metrics["num_pictures"] == 18


@pytest.mark.usefixtures("fine")
def test_the_checkpoint_is_what_it_goes_on_from(bars, tmp_path, monkeypatch):
    folder = ended(monkeypatch, bars, tmp_path, after=30, **BASE)
    state = checkpoint.load(folder)
    assert (state["progress"].epoch, state["progress"].batch) == (3, 4)
    begun = []
    real = Trainer.batch_loss
    monkeypatch.setattr(Trainer, "batch_loss", lambda self, *arguments: begun.append(None) or real(self, *arguments))
    zoo.resume(folder)
    assert len(begun) == 4  # of 32


@pytest.mark.usefixtures("fine")
def test_a_run_that_ended_before_its_first_checkpoint_begins_anew(bars, tmp_path, monkeypatch):
    whole = train(bars, tmp_path, name="whole", **BASE)
    (whole.path / "last.ckpt").unlink()
    (whole.path / "best.safetensors").unlink()
    info = json.loads((whole.path / "run.json").read_text())
    (whole.path / "run.json").write_text(json.dumps({**info, "status": "running"}))
    again = train(bars, tmp_path, name="again", **BASE)
    assert same(zoo.resume(whole.path), again)


@pytest.mark.usefixtures("fine")
def test_a_run_that_ended_in_its_final_figures_only_needs_those(bars, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.train.final_figures", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(bars, tmp_path, **BASE)
    assert Run(tmp_path / "run").info.status == "trained"
    monkeypatch.setattr(Trainer, "batch_loss", None)
    assert zoo.resume(tmp_path / "run").metrics["num_pictures"] == 18


@pytest.mark.usefixtures("fine")
def test_a_resumed_run_says_what_is_different(bars, tmp_path, monkeypatch, capsys):
    folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE)
    info = json.loads((folder / "run.json").read_text())
    info["versions"]["torch"] = "1.0"
    info["machine"]["threads"] = 4096
    (folder / "run.json").write_text(json.dumps(info))
    run = zoo.resume(folder, progress=True)
    assert "These changed since the run began: threads, PyTorch." in capsys.readouterr().err
    assert len(run.info.resumed) == 1


@pytest.mark.usefixtures("fine")
def test_what_a_gpu_began_in_fp16_goes_on_in_fp32_on_a_cpu(bars, tmp_path, monkeypatch, capsys):
    folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE)
    recipe, info = folder / "recipe.toml", folder / "run.json"
    text = recipe.read_text()
    for name, gpu in (("precision", "fp16"), ("device", "cuda")):
        text = re.sub(rf'^{name} = ".*"$', f'{name} = "{gpu}"', text, flags=re.MULTILINE)
    recipe.write_text(text)
    recorded = json.loads(info.read_text())
    recorded["plan"] |= {"device": "cuda", "precision": "fp16", "frozen_precision": "fp16"}
    info.write_text(json.dumps(recorded))
    run = zoo.resume(folder, device="cpu", progress=True)
    assert run.info.status == "finished"
    assert "These changed since the run began: precision" in capsys.readouterr().err


@pytest.mark.usefixtures("fine")
def test_the_recorded_thread_count_is_taken(bars, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE)
        torch.set_num_threads(1)
        real, threads = Trainer.batch_loss, set()
        watched = lambda *arguments: threads.add(torch.get_num_threads()) or real(*arguments)  # noqa: E731
        monkeypatch.setattr(Trainer, "batch_loss", watched)
        zoo.resume(folder)
        assert threads == {min(2, os.cpu_count())}
        assert torch.get_num_threads() == 1  # as it was
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("fine")
def test_other_pictures_are_refused(tmp_path, monkeypatch):
    data = write_folder(tmp_path / "data", {"train": 40, "val": 6})
    folder = ended(monkeypatch, data, tmp_path, after=12, **BASE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (data / "train" / "bar" / "000.png").rename(data / "train" / "line" / "new.png")
    with pytest.raises(DataError, match="not those that the run ended began with"):
        zoo.resume(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.usefixtures("fine")
def test_a_time_budget_counts_what_was_spent(bars, tmp_path, monkeypatch):
    folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE, time_budget="1h")
    state = torch.load(folder / "last.ckpt", weights_only=True)
    torch.save({**state, "spent": 3600.0}, folder / "last.ckpt")
    assert len(rows(zoo.resume(folder))) == 1


def test_what_cannot_go_on_says_why(trained, bars, tmp_path):
    with refused("run-missing", tmp_path):
        zoo.resume(tmp_path)
    with refused("run-finished", trained.name):
        zoo.resume(trained.path)
    with refused("resume-fixed-option", "seed"):
        zoo.resume(trained.path, seed=7)


@pytest.mark.usefixtures("fine")
def test_a_damaged_checkpoint_is_named_and_stays(bars, tmp_path, monkeypatch):
    folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE)
    whole = (folder / "last.ckpt").read_bytes()
    for damaged in (b"", whole[:1000], b"x" * 1000):
        (folder / "last.ckpt").write_bytes(damaged)
        with refused("checkpoint-damaged", "last.ckpt"):
            zoo.resume(folder)
        assert (folder / "last.ckpt").read_bytes() == damaged


@pytest.mark.usefixtures("fine")
def test_a_run_that_is_being_trained_is_left_alone(bars, tmp_path, monkeypatch):
    folder = ended(monkeypatch, bars, tmp_path, after=12, **BASE)
    with in_use(folder), refused("run-busy", folder):
        zoo.resume(folder)
    assert zoo.resume(folder).info.status == "finished"


# --- SIGKILL, from outside

COMMAND = (
    *("--strategy", "finetune", "--head-epochs", "5", "--epochs", "8", "--image-size", "32", "--batch-size", "2"),
    *("--augment", "photos"),
    *("--deterministic", "--checkpoint-minutes", "0", "--precision", "fp32", "--learning-rate", "0.001"),
)


def start(*arguments):
    command = [sys.executable, "-m", "zoo", "train", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def zoo_train(*arguments):
    """The same in this process, where nothing is killed."""
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def uninterrupted(bars, tmp_path_factory, tiny_plugin):
    output = tmp_path_factory.mktemp("whole") / "run"
    started = time.monotonic()
    done = zoo_train("tiny", bars, *COMMAND, "--output", output)
    assert done.exit_code == 0, done.output
    return Run(output), time.monotonic() - started


def killed_and_resumed(bars, uninterrupted, tmp_path, seed):
    whole, seconds = uninterrupted
    output, augment_rng = tmp_path / "run", random.Random(seed)
    process = start("tiny", bars, *COMMAND, "--output", output)
    wait_for((output / "run.json").exists)
    for kills in range(2):
        if kills:
            process = start("--resume", output)
            wait_for(lambda: Run(output).info.resumed)
        time.sleep(augment_rng.uniform(0, seconds / 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        if Run(output).info.status == "finished":
            break
    else:
        done = zoo_train("--resume", output)
        assert done.exit_code == 0, done.output
    return same(whole, Run(output))


def test_a_killed_training_goes_on_to_the_same_end(bars, uninterrupted, tmp_path):
    assert killed_and_resumed(bars, uninterrupted, tmp_path, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_killed_trainings_go_on_to_the_same_end(bars, uninterrupted, tmp_path, seed):
    assert killed_and_resumed(bars, uninterrupted, tmp_path, seed)


def test_the_command_refuses_other_options(trained, tmp_path):
    done = zoo_train("--resume", trained.path, "--seed", "3")
    assert "--seed cannot be used with --resume" in str(done.exception)
    assert done.exception.exit_code == 2
    assert Path(trained.path, "recipe.toml").exists()


# The head's epochs on stored features write their weights at the end.
@pytest.mark.parametrize(("strategy", "where"), [("full", "row"), ("full", "weights"), ("head", "row")])
def test_an_interrupt_behind_a_row_keeps_the_weights_of_that_row(bars, tmp_path, monkeypatch, strategy, where):
    """Ctrl-C between the line of the best epoch and its weights: what is said is what is kept."""
    add, save, seen = History.add, History.save_best, {}

    def interrupted_add(self, row):
        better = add(self, row)
        if len(self.rows) == 2:
            assert better
            if where == "row":
                raise KeyboardInterrupt
        return better

    def interrupted_save(self, network):
        if where == "weights" and len(self.rows) == 2 and not seen:
            seen["once"] = True
            raise KeyboardInterrupt
        save(self, network)

    monkeypatch.setattr(History, "add", interrupted_add)
    monkeypatch.setattr(History, "save_best", interrupted_save)
    options = {"strategy": strategy, "epochs": 4, "schedule": "constant", "learning_rate": 0.002, "weights": "none"}
    with pytest.raises(KeyboardInterrupt):
        train(bars, tmp_path, name="stopped", **options)
    monkeypatch.undo()
    run = Run(tmp_path / "stopped")
    logits, labels = classify(run.classifier(), run.dataset().val)
    assert run.info.best_epoch == 2
    assert summarise(logits, labels)["loss"] == pytest.approx(run.info.validation["val_loss"], abs=2e-3)


def test_the_same_pytorch_is_not_called_another(bars, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            train(bars, tmp_path, epochs=3, strategy="full")
    monkeypatch.setattr(torch, "__version__", f"{torch.__version__}+cu999")
    zoo.resume(tmp_path / "run", progress=True)
    said = capsys.readouterr().err
    assert "Not what the run began with" not in said
    assert "Continues after 1 epochs. The best epoch so far is 1." in said
