"""Whatever ends an export, what was there before is there afterwards."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import ExportError
from zoo.exporting import export, reference_of

FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2"}
BEFORE = b"an artifact of last year"


@pytest.fixture(scope="module")
def reference(trained):
    return reference_of(trained, "quick")


@pytest.mark.parametrize("room", [8, 24], ids=lambda room: f"{room}k")
@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk(trained, reference, small_disk, name, room):
    """The content has 20 to 400 KiB in the three formats, the card as much again."""
    place = small_disk(room)
    target = place / f"model{FORMATS[name]}"
    target.write_bytes(BEFORE)
    with pytest.raises(ExportError, match="no space left"):
        export(trained, name, target, overwrite=True, reference=reference)
    assert list(place.iterdir()) == [target]
    assert target.read_bytes() == BEFORE


def interrupted(trained, place: Path, how: signal.Signals, after: float) -> tuple[int, str]:
    """Exports in a process of its own; sends it a signal. Its exit code and what it said."""
    command = [sys.executable, "-m", "zoo", "export", str(trained.path), "--onnx", "--torchscript", "--overwrite"]
    process = subprocess.Popen(
        [*command, "--output", str(place / "model")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(after)
    process.send_signal(how)
    said = process.communicate(timeout=60)[0]
    return process.returncode, said


def assert_survives(trained, place: Path, how: signal.Signals, after: float) -> None:
    for suffix in (".onnx", ".pt"):
        (place / f"model{suffix}").write_bytes(BEFORE)
    code, said = interrupted(trained, place, how, after)
    assert code != 0, f"it had ended after {after} s"
    assert "Traceback" not in said
    from zoo.artifact import load

    for suffix in (".onnx", ".pt"):
        path = place / f"model{suffix}"
        if path.read_bytes() != BEFORE:
            load(path)  # it was ready: whole, with a card that fits
    if how == signal.SIGINT:
        assert sorted(path.name for path in place.iterdir()) == ["model.onnx", "model.pt"]


def test_interrupts(trained, tmp_path):
    assert_survives(trained, tmp_path, signal.SIGINT, 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_many_interrupts(trained, tmp_path, seed):
    chance = random.Random(seed)
    assert_survives(
        trained, tmp_path, chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]), chance.uniform(0.5, 12)
    )
