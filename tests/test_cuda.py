"""Training on a GPU. `pytest -m cuda` runs these where there is one."""

import csv
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import zoo

from .watch import interrupt_after, train, watch

pytestmark = [
    pytest.mark.usefixtures("no_plots"),
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def learn(bars, tmp_path, **options):
    return train(bars, tmp_path, **{"device": "cuda", "epochs": 6, "learning_rate": 0.01} | options)


def validation_losses(run):
    table = csv.DictReader((run.path / "metrics.csv").read_text().splitlines())
    return [float(row["val_loss"]) for row in table]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "auto"])
@pytest.mark.parametrize("strategy", ["full", "gradual"])
def test_every_precision_trains(bars, tmp_path, precision, strategy):
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU does not compute in bf16")
    run = learn(bars, tmp_path, strategy=strategy, precision=precision)
    assert run.info.plan.device == "cuda"
    assert run.metrics["top1"] > 0.5
    assert min(validation_losses(run)) < validation_losses(run)[0]


@pytest.mark.parametrize("budget", ["4GiB", "1KB", "0"])
@pytest.mark.parametrize("strategy", ["head", "full"])
def test_features_stored_on_the_cpu_train_on_the_gpu(bars, tmp_path, monkeypatch, strategy, budget):
    phases = watch(monkeypatch)
    run = learn(bars, tmp_path, strategy=strategy, freeze_until="body", cache_budget=budget)
    (seen,) = phases
    assert seen.phase.source.train(torch.arange(3), 1).device.type == "cuda"
    assert {p.device.type for p in seen.train_state.phase.model.parameters()} == {"cuda"}
    on_pictures = seen.logits_on_pictures()
    assert torch.allclose(seen.logits_on_features(), on_pictures, atol=1e-2 * float(on_pictures.std()))
    assert run.metrics["top1"] > 0.5


def test_the_gpu_learns_what_the_cpu_learns(bars, tmp_path):
    options = {"strategy": "full", "precision": "fp32", "epochs": 2, "augment": "light"}
    losses = [
        validation_losses(learn(bars, tmp_path, name=device, device=device, **options)) for device in ("cpu", "cuda")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_checkpoint_of_a_gpu_loads_on_a_cpu(bars, tmp_path, precision):
    run = learn(bars, tmp_path, precision=precision, ema=0.9)
    last = torch.load(run.path / "last.ckpt", weights_only=True, map_location="cpu")
    assert {value.device.type for value in last["network"].values()} == {"cpu"}
    assert all(
        value.dtype == torch.float32 for value in load_file(run.path / "best.safetensors").values() if value.dim()
    )
    logits = run.classifier()(torch.zeros(2, 20, 30, 3, dtype=torch.uint8))
    assert (logits.device.type, logits.shape, logits.dtype) == ("cpu", (2, 3), torch.float32)


@pytest.mark.parametrize(
    "options",
    [{"mixup": 0.5}, {"clip_norm": 0.5, "precision": "fp16"}, {"class_weights": "balanced"}, {"dropout": 0.3}],
)
def test_options_train_on_the_gpu(bars, tmp_path, options):
    losses = validation_losses(learn(bars, tmp_path, **options))
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_what_a_gpu_trained_is_exported_with_parity(bars, tmp_path, form):
    artifact = zoo.export(learn(bars, tmp_path), form)
    predictor = zoo.load(artifact.path)
    pictures = sorted((bars / "test").rglob("*.png"))
    right = [found.label == path.parent.name for path, found in zip(pictures, predictor.predict(pictures), strict=True)]
    assert sum(right) > len(right) / 2


def test_a_cpu_goes_on_with_what_a_gpu_began(bars, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            learn(bars, tmp_path, precision="fp16", ema=0.9, dropout=0.1)
    before = load_file(tmp_path / "run" / "best.safetensors")
    run = zoo.resume(tmp_path / "run", device="cpu")
    assert len(validation_losses(run)) == 6
    assert min(validation_losses(run)) < validation_losses(run)[1]
    assert any(not torch.equal(value, before[name]) for name, value in run.weights().items())


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_share_every_batch(bars, tmp_path):
    command = [
        "zoo",
        "train",
        "tiny",
        bars,
        "--image-size",
        "16",
        "--epochs",
        "2",
        "--devices",
        "2",
        "--device",
        "cuda",
    ]
    result = subprocess.run(
        [sys.executable, "-m", *map(str, command), "--output", tmp_path / "run"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert zoo.runs.run.Run(tmp_path / "run").info.machine.processes == 2
