"""ONNX files on a GPU, in an environment with `visionzoo[onnx-gpu]` that `make test-cuda` makes.

`ZOO_ONNX_GPU_PYTHON` names the Python of another one.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import zoo

from ..watch import train, undrawn

pytestmark = pytest.mark.cuda

PYTHON = os.environ.get("ZOO_ONNX_GPU_PYTHON", sys.executable)
# TF32 and fp16 have 10 bits of mantissa. For int8 only the classes are compared.
ALLOWED = {"fp32": 2e-2, "fp16": 5e-2}
ANSWER = """
import json, sys
import numpy as np
import zoo

path, device, *pictures = sys.argv[1:]
predictor = zoo.load(path, device)
logits = [predictor.logits(pictures).tolist(), predictor.logits(pictures[:1]).tolist()]
large = np.random.default_rng(0).integers(0, 256, (2100, 2100, 3), np.uint8)
providers = predictor.runtime._session.get_providers()
print(json.dumps({"logits": logits, "large": predictor.logits([large]).tolist(), "providers": providers,
                  "torch": "torch" in sys.modules}))
"""


def other(*words):
    """What the other environment prints."""
    done = subprocess.run([PYTHON, *map(str, words)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def provider(device):
    """The provider that is to compute. Skips where no onnxruntime with CUDA is installed."""
    if device == "cpu":
        return "CPUExecutionProvider"
    found = other("-c", "import onnxruntime; print(*onnxruntime.get_available_providers())")
    if "CUDAExecutionProvider" not in found:
        pytest.skip(f"{PYTHON} has no onnxruntime-gpu: make test-cuda installs one")
    return "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def run(device, bars, tiny_plugin, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        options = {"epochs": 6, "learning_rate": 0.01, "image_size": 24, "strategy": "full"}
        return train(bars, tmp_path_factory.mktemp("runs"), device=device, **options)


@pytest.fixture(scope="module", params=["fp32", "fp16", "int8"])
def artifact(request, provider, run, tmp_path_factory):
    return zoo.export(run, "onnx", tmp_path_factory.mktemp("place") / "model.onnx", precision=request.param)


@pytest.fixture(scope="module")
def pictures(bars):
    return sorted((bars / "test").rglob("*.png"))


def test_it_answers_as_on_a_cpu_without_torch(artifact, provider, device, pictures, tell):
    precision, local = artifact.card.precision, zoo.load(artifact.path)
    found = json.loads(other("-c", ANSWER, artifact.path, device, *pictures))
    assert found["providers"][0] == provider
    assert not found["torch"]
    large = np.random.default_rng(0).integers(0, 256, (2100, 2100, 3), np.uint8)
    expected = local.logits(pictures)
    pairs = [
        (found["logits"][0], expected),
        (found["logits"][1], expected[:1]),
        (found["large"], local.logits([large])),
    ]
    differences = [float(np.abs(np.array(one) - wanted).max() / expected.std()) for one, wanted in pairs]
    tell(f"logits differ by {differences[0]:.1e} of their spread, a large picture's by {differences[2]:.1e}")
    same = np.mean(np.array(found["logits"][0]).argmax(1) == expected.argmax(1))
    assert same >= (0.85 if precision == "int8" else 0.99)
    assert precision == "int8" or max(differences) < ALLOWED[precision]


def test_it_is_verified(artifact, device, bars, tell):
    found = json.loads(other("-m", "zoo", "verify", artifact.path, "--device", device, "--data", bars, "--json"))
    tell(found["checks"]["numbers"]["summary"])
    assert found["passed"]


def test_it_is_measured(artifact, device, tell):
    words = ("--device", device, "--batch-sizes", "1,32", "--threads", "1", "--seconds", "0.3", "--json")
    found = json.loads(other("-m", "zoo", "bench", artifact.path, *words))
    paces = {result["batch_size"]: result["pictures_per_second"] for result in found["results"]}
    tell("pictures per second: " + ", ".join(f"{pace:.0f} in batches of {size}" for size, pace in paces.items()))
    assert list(paces) == [1, 32]


def test_pictures_are_classified_by_the_command(artifact, device, pictures):
    found = json.loads(other("-m", "zoo", "predict", artifact.path, *pictures, "--device", device, "--json"))
    assert len(found) == len(pictures)
