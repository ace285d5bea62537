"""`zoo bench`: several artifacts in turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.benchmarking.rounds import ROUNDS, measure, settings
from zoo.cli import app
from zoo.errors import MissingExtraError, UsageError
from zoo.exporting.pipeline import export
from zoo.parity.references import reference_of

from ..here import artifacts_here

QUICK = ("--seconds", 0.1, "--batch-sizes", "4,1", "--threads", 1)


@pytest.fixture(scope="module")
def models(trained, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bench")
    reference = reference_of(trained)
    names = {"onnx": "a.onnx", "torchscript": "b.pt"}
    with artifacts_here():
        return [export(trained, kind, folder / name, reference=reference).path for kind, name in names.items()]


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def changed(model: Path, path: Path) -> Path:
    """A copy whose content is not what its card describes."""
    data = bytearray(model.read_bytes())
    data[data.index(b"pytorch")] ^= 1
    path.write_bytes(data)
    return path


def test_formats_are_measured_in_one_run(models, tmp_path):
    done = run_zoo(*models, *QUICK, "--json", "--plot", tmp_path / "plot.png")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["results"]
    assert [(Path(one["artifact"]).name, one["batch_size"]) for one in found] == [
        ("a.onnx", 1), ("a.onnx", 4), ("b.pt", 1), ("b.pt", 4)
    ]  # fmt: skip
    for one in found:
        assert (one["height"], one["width"], one["threads"]) == (24, 24, 1)
        latency = one["latency_ms"]
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert one["calls"] >= ROUNDS == len(one["rounds"]) == len(one["ratios_to_first"])
        assert min(one["rounds"]) <= one["pictures_per_second"] <= max(one["rounds"])
        assert 0 < one["loaded_bytes"] <= one["peak_bytes"]
    assert found[1]["ratios_to_first"] == [1] * ROUNDS
    # PyTorch alone is larger than all that an ONNX file needs.
    assert found[2]["loaded_bytes"] > 2 * found[0]["loaded_bytes"]
    assert np.asarray(Image.open(tmp_path / "plot.png").convert("L")).std() > 20


def test_every_setting_is_measured_in_every_round_and_the_warm_up_thrown_away(models):
    wanted = settings(models[:1] * 2, [1], [1], (9, 17))
    done = []
    first, second = measure(wanted, 0.05 * ROUNDS, "cpu", done.append)
    assert sum(done) == (ROUNDS + 1) * 2
    for result in (first, second):
        assert (result.setting.height, result.setting.width) == (9, 17)
        assert len(result.rounds) == ROUNDS
        assert all(sum(calls) >= 0.05 for calls in result.rounds)


def test_a_worker_of_an_onnx_file_imports_nothing_heavy(models):
    code = (
        "import runpy, sys\nsys.argv = ['worker', sys.argv[1], 'cpu', '1']\n"
        "runpy.run_module('zoo.benchmarking.worker', run_name='__main__')\n"
        "print(sorted({'torch', 'gradio', 'onnx', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    asked = json.dumps({"batch": 2, "height": 5, "width": 6, "seconds": 0})
    command = [sys.executable, "-c", code, models[0]]
    done = subprocess.run(command, input=asked + "\n", capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert len(json.loads(done.stdout.splitlines()[1])["calls"]) == 1


def test_what_fails_is_named_and_the_others_go_on(models, tmp_path):
    broken = changed(models[0], tmp_path / "broken.onnx")
    done = run_zoo(broken, models[0], "--seconds", 0.1, "--batch-sizes", f"1,{10**12}", "--threads", 1, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["results"]
    assert ["error" in one for one in found] == [True, True, False, True]
    assert found[2]["ratios_to_first"] is None
    assert "broken.onnx fails: " in done.stderr
    assert done.stderr.count("does not match its card") == 1
    assert "a.onnx (1 thread, batch 1000000000000) fails: Unable to allocate" in done.stderr


def test_a_worker_that_is_killed_is_named_and_the_others_go_on(models, tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(models[0].read_bytes())
    pids = []

    def kill(_: int) -> None:
        if not pids:
            command = f"{copy}\0".encode()
            pids.extend(p for p in Path("/proc").glob("[0-9]*/cmdline") if command in p.read_bytes())
            os.kill(int(pids[0].parent.name), signal.SIGKILL)

    dead, alive = measure(settings([copy, models[0]], [1], [1], None), 0.1, "cpu", kill)
    assert "was killed" in dead.failure
    assert alive.failure is None
    assert len(alive.rounds) == ROUNDS


def test_the_table_is_for_people(models, tmp_path):
    done = run_zoo(*models[:1] * 2, *QUICK, "--size", "10x20")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["file", "HxW", "threads"]
    assert {line.split()[2] for line in lines[1:5]} == {"10x20"}
    assert [line.split("  ")[0] for line in lines[1:5]] == ["a.onnx #1", "a.onnx #1", "a.onnx #2", "a.onnx #2"]
    assert " to " in lines[4]
    assert "varied by up to" in lines[-1]
    assert "4 settings, 0.1 s each: about 0 s with warm-up" in done.stderr
    one = run_zoo(models[0], "--seconds", 0.1, "--batch-sizes", 1, "--threads", 1)
    assert one.stderr.startswith("1 setting, 0.1 s each")


def test_wrong_commands(models, tmp_path, monkeypatch):
    cases = [
        (("--batch-sizes", "1,x"), ("--batch-sizes", "'1,x'")),
        (("--batch-sizes", "0"), ("--batch-sizes", "'0'")),
        (("--threads", "1,,2"), ("--threads", "'1,,2'")),
        (("--size", "12"), ("--size", "'12'")),
        (("--size", "0x12"), ("--size", "'0x12'")),
        (("--plot", tmp_path), (str(tmp_path),)),
        (("--plot", tmp_path / "absent" / "plot.png"), (str(tmp_path / "absent"),)),
        ((tmp_path / "absent.onnx",), ("absent.onnx",)),
        ((tmp_path / "absent.zip",), ("absent.zip",)),
    ]
    for arguments, facts in cases:
        done = run_zoo(models[0], *arguments)
        assert isinstance(done.exception, UsageError), done.output
        assert all(fact in str(done.exception) for fact in facts)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert isinstance(run_zoo(models[0], "--plot", tmp_path / "plot.png").exception, MissingExtraError)
