"""Whatever ends an export, what was there before is there afterwards."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import ExportError
from zoo.exporting.pipeline import export
from zoo.parity.references import reference_of

from ..here import artifacts_here
from ..refusals import refused

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2"}
FILES = ("model.onnx", "model.pt")
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143}  # exit codes
BEFORE = b"an artifact of last year"


@pytest.fixture(scope="module")
def reference(trained):
    return reference_of(trained, "quick")


@pytest.fixture(scope="module")
def sizes(trained, reference, tmp_path_factory) -> dict[str, int]:
    """KiB of a whole file in each format."""
    place = tmp_path_factory.mktemp("sizes")
    with artifacts_here():
        files = {name: export(trained, name, place / "model", reference=reference).path for name in FORMATS}
    return {name: path.stat().st_size // 1024 for name, path in files.items()}


@pytest.mark.usefixtures("artifacts_here")
@pytest.mark.parametrize("asked", list(itertools.product(FORMATS, ["content", "card"])), ids=str)
def test_a_full_disk(trained, reference, sizes, small_disk, asked):
    name, part = asked
    room = sizes[name] // 3 if part == "content" else sizes[name] - 8
    place = small_disk(4 + room)  # in pages of 4 KiB; one holds what is there
    target = place / f"model{FORMATS[name]}"
    target.write_bytes(BEFORE)
    with refused("output-not-written", target, "no space left", kind=ExportError):
        export(trained, name, target, overwrite=True, reference=reference)
    assert list(place.iterdir()) == [target]
    assert target.read_bytes() == BEFORE


def interrupted(trained, place: Path, how: signal.Signals, after: float) -> tuple[int, str]:
    """Exports in a process of its own; sends it a signal. Its exit code and what it said."""
    command = [sys.executable, "-m", "zoo", "export", str(trained.path), "--onnx", "--torchscript", "--overwrite"]
    process = subprocess.Popen(
        [*command, "--output", str(place / "model")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(place.iterdir())) == len(FILES) and time.monotonic() < deadline:
        time.sleep(0.05)  # until it has something to lose
    time.sleep(after)
    process.send_signal(how)
    said = process.communicate(timeout=120)[0]
    return process.returncode, said


def assert_survives(trained, place: Path, how: signal.Signals, after: float) -> None:
    for name in FILES:
        (place / name).write_bytes(BEFORE)
    code, said = interrupted(trained, place, how, after)
    assert code != 0, f"it had ended {after} s after its begin"
    assert "Traceback" not in said
    from zoo.artifacts.predictor import load

    for path in (place / name for name in FILES):
        if path.read_bytes() != BEFORE:
            load(path)  # it was ready: whole, with a card that fits
    if how in ENDS:
        assert code == ENDS[how]
        assert "Interrupted." in said
        assert sorted(path.name for path in place.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("how", ENDS)
def test_interrupts(trained, tmp_path, how):
    assert_survives(trained, tmp_path, how, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_many_interrupts(trained, tmp_path, seed):
    chance = random.Random(seed)
    assert_survives(
        trained, tmp_path, chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]), chance.uniform(0, 4)
    )
