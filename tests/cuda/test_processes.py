"""Two processes: on one GPU, connected by gloo, and on two GPUs, connected by NCCL."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import zoo
from zoo.errors import UsageError
from zoo.runs.run import Run
from zoo.training.distributed import count_processes

pytestmark = pytest.mark.cuda

OPTIONS = ("--image-size", "16", "--batch-size", "16", "--learning-rate", "0.01", "--epochs", "3", "--augment", "none")
# Of "tiny", only the stem has BatchNorm, whose statistics differ between one process and two.
CASES = {
    "stored features": ("--strategy", "head", "--precision", "fp32"),
    "frozen prefix": ("--strategy", "full", "--freeze-until", "body", "--cache-budget", "0", "--precision", "fp32"),
    "bf16": ("--strategy", "full", "--freeze-until", "body", "--precision", "bf16", "--ema", "0.9"),
    "fp16": ("--strategy", "full", "--freeze-until", "body", "--precision", "fp16", "--clip-norm", "1"),
}
# NCCL refuses two processes on one GPU: gloo moves the tensors of both through the CPU. All else is what two GPUs do.
SHARED = """
import sys
import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from zoo.cli import main
from zoo.training import distributed

device = sys.argv.pop(1)


class Shared(DDPStrategy):
    def __init__(self, **options):
        places = [torch.device(device, 0) if device == "cuda" else torch.device(device)] * 2
        super().__init__(parallel_devices=places, process_group_backend="gloo", **options)


distributed.DDPStrategy = Shared
distributed.placed = lambda *_: {"accelerator": device, "devices": [0] if device == "cuda" else 2}
sys.exit(main())
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(*words):
    command = [sys.executable, *map(str, words)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-8000:]
    assert "test accuracy" in done.stdout
    return done


def rows(folder):
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def compare(first, second, tell):
    """Asserts that two run folders hold about the same result: TF32 and the order of sums differ with the batch."""
    pairs = [
        (float(one["val_loss"]), float(other["val_loss"]))
        for one, other in zip(*map(rows, (first, second)), strict=True)
    ]
    weights = [load_file(folder / "best.safetensors") for folder in (first, second)]
    apart = max(float((value.float() - weights[1][name].float()).abs().max()) for name, value in weights[0].items())
    tell(f"validation losses differ by {max(abs(a - b) / a for a, b in pairs):.1e}, weights by {apart:.1e}")
    assert [other for _, other in pairs] == pytest.approx([one for one, _ in pairs], rel=0.05)
    assert Run(second).metrics["top1"] == pytest.approx(Run(first).metrics["top1"], abs=0.12)  # two of 18 pictures
    assert Run(second).info.machine.processes == 2


def learnable(case, device):
    if device == "cpu" and case == "fp16":
        pytest.skip("a dry run: zoo train refuses fp16 on a CPU")
    return ("--device", device, *OPTIONS, *CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_two_processes_on_one_gpu_give_the_result_of_one(bars, tmp_path, device, tell, case):
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    words = ("train", "tiny", bars, *learnable(case, device), "--output")
    run("-m", "zoo", *words, tmp_path / "one")
    run(*TORCHRUN, script, device, *words, tmp_path / "two")
    compare(tmp_path / "one", tmp_path / "two", tell)


def test_one_process_goes_on_with_what_two_began(bars, tmp_path, device):
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    words = ("train", "tiny", bars, *learnable("bf16", device), "--output", tmp_path / "run")
    run(*TORCHRUN, script, device, *words)
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert {name: len(states) for name, states in last["random"].items()} == dict.fromkeys(
        ("cpu", "cuda") if device == "cuda" else ("cpu",), 2
    )
    found = Run(tmp_path / "run")
    found.info.status = "interrupted"
    found.save()
    for place in (device, "cpu"):
        assert zoo.resume(found.path, device=place).metrics["top1"] == pytest.approx(found.metrics["top1"], abs=0.12)
        found.save()


@pytest.fixture
def two_gpus(gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("launcher", [(), TORCHRUN], ids=["zoo train", "torchrun"])
@pytest.mark.parametrize("case", CASES)
def test_two_gpus_give_the_result_of_one(bars, tmp_path, tell, case, launcher):
    words = ("-m", "zoo", "train", "tiny", bars, *learnable(case, "cuda"), "--output")
    run(*words, tmp_path / "one")
    run(*launcher, *words, tmp_path / "two", *([] if launcher else ["--devices", "2"]))
    compare(tmp_path / "one", tmp_path / "two", tell)


@pytest.mark.usefixtures("gpu")
def test_more_processes_than_gpus_are_refused():
    there = torch.cuda.device_count()
    with pytest.raises(UsageError, match=f"This machine has {there} GPUs?, not {there + 1}"):
        count_processes("cuda", there + 1, None, 64)
