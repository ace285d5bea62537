"""The export matrix can be stopped and goes on, and names what fails with its reason."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "export_matrix.py"
PAGE = runpy.run_path(str(BENCHMARKS / "matrix_table.py"))["page"]
PLUGIN = """
from zoo.hookspecs import hookimpl
from zoo.specs import BackboneSpec, Stage


def stubborn(num_classes):
    from torch import nn

    class Stubborn(nn.Sequential):
        def forward(self, x):
            return super().forward(x if x.mean() < 1e9 else -x)  # no exporter can follow values

    return Stubborn(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
                    nn.Linear(72, num_classes))


def unbuildable(num_classes):
    raise ValueError("no stone is left")


@hookimpl
def zoo_backbones():
    stages = lambda _: (Stage("body", ("0", "1")), Stage("head", ("4",)))
    yield BackboneSpec(name="stubborn", build=stubborn, head="4", stages=stages, min_image_size=32)
    yield BackboneSpec(name="unbuildable", build=unbuildable, head="4", stages=stages, min_image_size=32)
"""
AGREES = {
    "parity": 2e-6,
    "tolerance": 1e-4,
    "top1_agreement": 1.0,
    "near_ties": 0,
    "bytes": 3_000_000,
    "latency_ms": 1.5,
    "export_seconds": 12.0,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(30):
        small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        small.resize((90 + index, 120)).save(folder / f"{index:02}.jpg")
    return folder


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """With the two backbones of `PLUGIN` installed, beside `tiny`."""
    site = tmp_path / "site"
    metadata = site / "zoo_odd-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "zoo_odd.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-odd\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[zoo]\nodd = zoo_odd\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}


def test_it_stops_goes_on_and_names_what_fails(photos, environment, tmp_path):
    results, page = tmp_path / "matrix.json", tmp_path / "matrix.md"
    command = [sys.executable, SCRIPT, "--photos", photos, "--results", results, "--page", page]
    command += ["--only", "unbuildable", "stubborn"]
    with subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE) as process:
        while not results.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
    stopped = json.loads(results.read_text())
    assert list(stopped) == ["unbuildable"]
    assert stopped["unbuildable"]["reason"] == "ValueError: no stone is left"

    said = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout
    records = json.loads(results.read_text())
    assert list(records) == ["unbuildable", "stubborn"]
    assert records["unbuildable"] == stopped["unbuildable"]
    assert said.startswith("stubborn: onnx FAILS, torchscript agrees, pt2 FAILS")
    found = records["stubborn"]["formats"]
    assert found["onnx"]["reason"].startswith("The network cannot be written as ONNX: Could not guard on")
    assert found["torchscript"]["parity"] < 1e-5
    assert found["torchscript"]["bytes"] > 0
    assert "- `unbuildable`: ValueError: no stone is left" in page.read_text()
    assert f"- `stubborn`, onnx: {found['onnx']['reason']}" in page.read_text()
    assert not list(tmp_path.glob(".*"))  # half-written files


@pytest.mark.slow
def test_an_architecture_of_torchvision_agrees_in_every_format(photos, tmp_path):
    results, page = tmp_path / "matrix.json", tmp_path / "matrix.md"
    command = [sys.executable, SCRIPT, "--photos", photos, "--results", results, "--page", page]
    subprocess.run([*command, "--only", "squeezenet1_[1]"], check=True)
    (record,) = json.loads(results.read_text()).values()
    assert record["formats"]["onnx"]["opset"] == 18
    for found in record["formats"].values():
        assert found["parity"] <= 1e-4
        assert found["top1_agreement"] == 1
    assert "What fails" not in page.read_text()


def rendered(**changed) -> str:
    formats = {"onnx": {**AGREES, "opset": 18, **changed}, "torchscript": AGREES, "pt2": AGREES}
    record = {
        "parameters": 11_000_000,
        "image_size": 96,
        "rounding": 1e-6,
        "formats": formats,
        "machine": {"cores": "2"},
    }
    return PAGE({"resnet18": record, "gone": {"reason": "It ran out.", "machine": {"cores": "2"}}}, 80)


def test_the_page_says_what_agrees():
    text = rendered()
    assert "2 of 80 architectures" in text
    assert "| onnx | 1 of 2 | 2.0e-06 | 2.0e-06 | 12 |" in text
    assert "| resnet18 | 11.0 | 96 | 1e-06 | onnx | 18 | 2.0e-06 | 100% | 3.0 | 1.5 |" in text
    assert "- `resnet18`" not in text
    assert "- `gone`: It ran out." in text
    assert text.endswith("\ncores 2\n")
    rows = [line for line in text.splitlines() if line.startswith(("| resnet18", "| gone", "| architecture"))]
    assert {row.count("|") for row in rows} == {11}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"parity": 1.01e-4}, "A logit differs by 0.000101 of the spread, 100.0% of the pictures keep their class."),
        (
            {"top1_agreement": 0.96875},
            "A logit differs by 2e-06 of the spread, 96.9% of the pictures keep their class.",
        ),
        ({"reason": "It cannot be written."}, "It cannot be written."),
        ({"one_file": "Too large for one."}, "agrees with external data, because: Too large for one."),
    ],
)
def test_the_page_says_what_fails(changed, reason):
    text = rendered(**changed)
    agree = "1" if "one_file" in changed else "0"
    assert f"| onnx | {agree} of 2 |" in text
    assert f"- `resnet18`, onnx: {reason}" in text
    assert text.count("| **fails**") == 2 - int(agree)


def test_a_killed_process_is_named():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        reason = runpy.run_path(str(SCRIPT))["reason"]
    finally:
        sys.path.remove(str(BENCHMARKS))
    assert reason("python x ended with -9:\n") == (
        "Its process was ended by signal 9; 9 is what the system sends where memory runs out."
    )
    assert reason("python x ended with 1:\nsome\nValueError: no\n") == "ValueError: no"


def test_the_page_of_the_project_is_that_of_its_records():
    records = json.loads((BENCHMARKS / "export_matrix.json").read_text())
    page = BENCHMARKS.parent / "docs" / "export-matrix.md"
    assert page.read_text() == PAGE(records, 80)
    for name, record in records.items():
        assert record["formats"]["torchscript"]["parity"] <= 1e-4, name
