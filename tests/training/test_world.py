"""Several processes train as one."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import zoo
from zoo.cli import app
from zoo.errors import UsageError
from zoo.runs.run import Run
from zoo.training.distributed import World, count_processes

from ..refusals import refused

OPTIONS = ("--image-size", "16", "--batch-size", "16", "--precision", "fp32", "--learning-rate", "0.01")
# Of "tiny", only the stem has BatchNorm, whose statistics differ between one process and two.
CASES = {
    "stored features": ("--strategy", "head", "--epochs", "3"),
    "augmented": (
        *("--strategy", "full", "--freeze-until", "body", "--epochs", "3", "--augment", "photos"),
        *("--cache-budget", "0"),
    ),
    "weighted": (
        *("--strategy", "full", "--freeze-until", "body", "--epochs", "3", "--class-weights", "bar=3,line=0.5"),
        *("--label-smoothing", "0.1", "--accumulate", "2", "--sampling", "balanced", "--ema", "0.9", "--views", "2"),
        *("--augment", "light", "--batch-size", "18", "--time-budget", "1h"),
    ),
}


# Prints the threads of the process group that are left when the interpreter ends. Such a thread may abort the process
# while it exits: 4 of 90 trainings under torchrun on a busy machine.
SCRIPT = """
import atexit
from pathlib import Path

import zoo


@atexit.register
def tell():
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    print("left:", sorted(name for name in names if "gloo" in name), flush=True)


zoo.train("tiny", {data!r}, **{options!r}, devices=2, output={output!r}, progress=True)
"""


def run(*command):
    """As a process of its own, which starts the others."""
    command = [sys.executable, *map(str, command)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)


def run_script(bars, tmp_path, options):
    """Two processes that a script starts, with its check of what is left of them."""
    given = {name[2:].replace("-", "_"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    given |= {name: int(value) for name, value in given.items() if value.isdigit() and name != "cache_budget"}
    given["learning_rate"] = float(given["learning_rate"])
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(data=str(bars), options=given, output=str(tmp_path / "2")))
    result = run(script)
    assert result.stdout.splitlines() == ["left: []"] * 2, result.stderr
    return result


def rows(output):
    return list(csv.DictReader((output / "metrics.csv").read_text().splitlines()))


def alike(first, second):
    """Asserts that two run folders hold the same result within the rounding of fp32."""
    for one, other in zip(rows(first), rows(second), strict=True):
        for name in ("train_loss", "val_loss", "learning_rate"):
            assert float(one[name]) == pytest.approx(float(other[name]), rel=1e-3), name
        assert (one["epoch"], one["phase"]) == (other["epoch"], other["phase"])
        assert one["train_top1"] == other["train_top1"]
    weights = [load_file(folder / "best.safetensors") for folder in (first, second)]
    for name, value in weights[0].items():
        assert torch.allclose(value.float(), weights[1][name].float(), rtol=1e-3, atol=1e-4), name
    assert sorted(path.name for path in first.iterdir()) == sorted(path.name for path in second.iterdir())
    metrics = [Run(folder).metrics for folder in (first, second)]
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-3)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_result_of_one(bars, tmp_path, case):
    arguments = [*map(str, ("train", "tiny", bars, *OPTIONS, *CASES[case])), "--output"]
    alone = CliRunner().invoke(app, [*arguments, str(tmp_path / "1"), "--devices", "1"])
    assert alone.exit_code == 0, alone.stderr
    if case == "augmented":
        result = run_script(bars, tmp_path, OPTIONS + CASES[case])
    else:
        result = run("-m", "zoo", *arguments, tmp_path / "2", "--devices", "2")
        assert result.stdout.count("test accuracy") == alone.stdout.count("test accuracy") == 1
    assert result.returncode == 0, result.stderr
    for each in (alone, result):
        assert each.stderr.count("Training\n") == 1
        assert "Warning" not in each.stderr
    assert "2 processes" in result.stderr.replace("\n", " ")
    alike(tmp_path / "1", tmp_path / "2")
    run_of_two = Run(tmp_path / "2")
    assert run_of_two.info.machine.processes == 2
    if case == "stored features":
        predictor = zoo.load(zoo.export(run_of_two, "onnx").path)
        pictures = sorted((bars / "test").rglob("*.png"))
        right = [f.label == path.parent.name for path, f in zip(pictures, predictor.predict(pictures), strict=True)]
        assert np.mean(right) == pytest.approx(run_of_two.metrics["top1"])


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_torchrun_starts_the_processes_and_one_goes_on_with_what_two_began(bars, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = (
        "-m",
        "zoo",
        "train",
        "tiny",
        bars,
        *OPTIONS,
        "--strategy",
        "full",
        "--freeze-until",
        "body",
        "--epochs",
        "2",
    )
    result = run(*launcher, *command, "--output", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert Run(tmp_path / "run").info.machine.processes == 2
    info = Run(tmp_path / "run")
    info.info.status = "interrupted"
    info.save()
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert state["random"]["cpu"].shape[0] == 2
    assert zoo.resume(tmp_path / "run").metrics == pytest.approx(info.metrics, rel=1e-5)


def test_what_this_machine_does_not_have_is_refused(monkeypatch):
    for name in ("MASTER_ADDR", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    assert count_processes("cpu", None, None, 64) == (1, 1)
    cores = os.cpu_count()
    with refused("too-few-devices", f"{cores} CPU core", f"not {cores + 1}", f"--devices {cores} or fewer"):
        count_processes("cpu", cores + 1, None, 64)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with refused("too-few-devices", "1 GPU, not 2"):
        count_processes("cuda", 2, None, 64)
    with refused("no-address", "first of the 3 machines", "MASTER_ADDR"):
        count_processes("cpu", None, 3, 64)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    assert count_processes("cpu", None, 3, 64) == (1, 3)
    with refused("batch-too-small", "A batch of 4", "3 processes", "--batch-size 6"):
        count_processes("cpu", None, 3, 4)


def test_torchrun_is_asked_for_the_number_of_processes(monkeypatch):
    for name, value in {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    assert count_processes("cpu", None, None, 64) == count_processes("cpu", 2, 3, 64) == (2, 3)
    with refused("torchrun-differs", "3 x 2 processes", "--devices", "--nodes"):
        count_processes("cpu", 3, None, 64)
    with refused("batch-too-small", "A batch of 11", "6 processes"):
        count_processes("cpu", None, None, 11)


def test_one_process_takes_every_row():
    world = World()
    assert (world.rank, world.size, world.first) == (0, 1, True)
    rows = torch.arange(6).view(3, 2)
    assert torch.equal(world.gather(rows[world.share], 3), rows)
    assert torch.equal(torch.cat(list(world.parts(10, 4))), torch.arange(10))
    assert max(len(part) for part in world.parts(10, 4)) <= 4


def test_an_error_of_the_first_process_is_everybodys():
    def fail():
        raise UsageError("No.", "Yes.")

    with pytest.raises(UsageError, match=r"No\."):
        World().from_rank_zero(fail)
