"""Every file of `artifacts`: its card is read, it is opened, it is asked about a small picture, and it is verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.artifacts.predictor import read_card
from zoo.errors import ZooError

from . import artifacts
from .artifacts import ARTIFACTS
from .attack import ENDLESS, TAKEN, Artifact
from .process import Process

ENDLESS_SECONDS = 2.0  # after which a step counts as endless
PATIENCE = 120.0  # seconds for all others, on a busy machine
LISTED = [pytest.param(one, id=name, marks=[pytest.mark.slow] * one.slow) for name, one in ARTIFACTS.items()]


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> Iterator[dict[str, Process]]:
    """By suffix, the process that uses such files."""
    folder = tmp_path_factory.mktemp("users")
    torch = Process(folder / "torch", "artifacts", ".pt")
    processes = {".onnx": Process(folder / "onnx", "artifacts", ".onnx"), ".pt": torch, ".pt2": torch}
    yield processes
    for process in processes.values():
        process.end()


@pytest.mark.parametrize("artifact", LISTED)
def test_artifact(users, place, artifact):
    path = place / artifact.name
    artifact.build(path)
    files = sorted(place.iterdir())
    user = users[path.suffix]
    user.ask(path)
    try:
        follow(artifact, user)
    except BaseException:
        user.end()  # it may have more to say
        raise
    assert sorted(place.iterdir()) == files


def follow(artifact: Artifact, user: Process) -> None:
    """Checks each step of the process, up to the first that is refused or does not end."""
    for step in ("card", "load", "predict"):
        expected = getattr(artifact, step)
        found = user.answer(ENDLESS_SECONDS if expected == ENDLESS else PATIENCE)
        if expected == ENDLESS:
            assert found is None, (step, found)
            return
        assert found, (step, user.last_words())
        check(step, expected, found, artifact)
        if found["last"]:
            return


def check(step: str, expected: str, found: dict[str, Any], artifact: Artifact) -> None:
    if expected == TAKEN:
        assert found["comes"] == TAKEN, step
    else:
        code, _, part = expected.partition(": ")
        assert found["code"] == code, (step, found["comes"])
        assert part in found["comes"], step
        assert "\x1b" not in found["comes"], step
    assert found["mib"] <= artifact.mib, step
    assert found["seconds"] <= artifact.seconds, step
    assert found["disk"] == 0, step


def test_verify_ends_with_a_file_that_does_not(place):
    verify(ARTIFACTS["loop-endless.onnx"], place)


@pytest.mark.slow
@pytest.mark.parametrize("artifact", ARTIFACTS.values(), ids=ARTIFACTS)
def test_verify(place, artifact):
    verify(artifact, place)


def verify(artifact: Artifact, folder: Path) -> None:
    """`zoo verify` ends with a sentence in any case, and passes nothing of all that."""
    path = folder / artifact.name
    artifact.build(path)
    command = [sys.executable, "-m", "zoo", "verify", str(path), "--time-limit", "2", "--json"]
    wide = os.environ | {"COLUMNS": "1000"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=wide)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert artifact.verify in said
    if artifact.card != TAKEN:
        with pytest.raises(ZooError) as caught:
            read_card(path)
        assert " ".join(caught.value.cause.split()) in said
    if done.stdout:
        assert json.loads(done.stdout)["passed"] is False


def test_no_two_artifacts_have_one_name():
    lists = (artifacts.CARDS, artifacts.ANSWERS, artifacts.ONNX, artifacts.TORCH)
    assert len(ARTIFACTS) == sum(map(len, lists))
