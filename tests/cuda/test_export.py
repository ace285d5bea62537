"""Exporting what a GPU trained, and the files of PyTorch's formats on a GPU."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import zoo
from zoo.parity.verify import verify
from zoo.transforms.preprocess_numpy import LARGE_PIXELS

from ..watch import train, undrawn

pytestmark = pytest.mark.cuda

# TF32 has 10 bits of mantissa: the row of zoo/parity/tolerances.py for fp32 on CUDA.
ALLOWED = 2e-2


@pytest.fixture(scope="module")
def run(device, bars, tiny_plugin, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        options = {"epochs": 6, "learning_rate": 0.01, "image_size": 24, "strategy": "full", "precision": "auto"}
        return train(bars, tmp_path_factory.mktemp("runs"), device=device, **options)


@pytest.fixture(scope="module", params=["onnx", "torchscript", "pt2"])
def artifact(request, run):
    return zoo.export(run, request.param)


@pytest.fixture(scope="module")
def pictures(bars):
    return sorted((bars / "test").rglob("*.png"))


def on(device, artifact):
    """The opened file; skips where this environment's runtime has no GPU."""
    providers = onnxruntime.get_available_providers()
    if device == "cuda" and artifact.path.suffix == ".onnx" and "CUDAExecutionProvider" not in providers:
        pytest.skip("onnxruntime without CUDA: tests/cuda/test_onnx_gpu.py is about the one with it")
    return zoo.load(artifact.path, device)


def difference(found, expected):
    """Of logits, relative to their spread."""
    return float(np.abs(found - expected).max() / expected.std())


def command(*words):
    """The JSON that a command of zoo prints."""
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_written_with_parity_and_right(artifact, run, pictures):
    found = zoo.load(artifact.path).predict(pictures)
    right = [one.label == path.parent.name for path, one in zip(pictures, found, strict=True)]
    assert np.mean(right) == pytest.approx(run.metrics["top1"])


def test_it_answers_on_a_gpu_as_on_a_cpu(artifact, device, pictures, tell):
    expected = zoo.load(artifact.path).logits(pictures)
    found = on(device, artifact).logits(pictures)
    tell(f"logits differ by {difference(found, expected):.1e} of their spread (allowed: {ALLOWED:g})")
    assert difference(found, expected) < ALLOWED


def test_a_large_picture_is_resized_before_the_gpu(artifact, device, tmp_path):
    path, side = tmp_path / "large.png", int(LARGE_PIXELS**0.5) + 100
    noise = np.random.default_rng(0).integers(0, 256, (side // 100, side // 100, 3), np.uint8)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path, compress_level=0)
    expected = zoo.load(artifact.path).logits([path])
    assert difference(on(device, artifact).logits([path]), expected) < ALLOWED


def test_a_gpu_can_verify_it(artifact, device, bars, tell):
    on(device, artifact)
    found = verify(artifact.path, device=device, data=str(bars))
    tell(found.findings["numbers"].summary)
    assert found.passed, {name: finding.summary for name, finding in found.findings.items()}


def test_a_gpu_is_measured(artifact, device, tell):
    on(device, artifact)
    found = command(
        *("bench", artifact.path, "--device", device, "--batch-sizes", "1,32", "--threads", "1", "--seconds", "0.3")
    )
    assert found["device"] == device
    paces = {result["batch_size"]: result["pictures_per_second"] for result in found["results"]}
    assert list(paces) == [1, 32]
    tell("pictures per second: " + ", ".join(f"{pace:.0f} in batches of {size}" for size, pace in paces.items()))


def test_a_run_is_evaluated_alike_on_both(run, bars, device):
    found = [command("evaluate", run.path, bars, "--device", place)["metrics"] for place in ("cpu", device)]
    assert found[1]["top1"] == found[0]["top1"]
    assert found[1]["loss"] == pytest.approx(found[0]["loss"], rel=1e-3)
    assert found[1]["loss"] == pytest.approx(run.metrics["loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_are_made_of_what_a_gpu_trained(run, precision, tmp_path, pictures):
    written = zoo.export(run, "onnx", tmp_path / "model.onnx", precision=precision)
    assert len(zoo.load(written.path).predict(pictures)) == len(pictures)
