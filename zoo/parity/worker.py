"""The child process of `zoo.parity.process`: runs one artifact and imports only what it needs.

`python -m zoo.parity.worker PATH HOW` answers the messages of `zoo.parity.process`.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import TypeAdapter

from zoo.artifacts.predictor import open_artifact, open_runtime, read_card
from zoo.errors import ZooError
from zoo.images import read_picture
from zoo.images.values import Range
from zoo.processes.children import guard, limit_memory
from zoo.processes.messages import read_array, receive, send
from zoo.registry import registry
from zoo.specs import LoadOptions, MappedRuntime, PreprocessSpec, Runtime


def _runtime(path: Path, how: dict[str, Any], opening: str) -> Runtime:
    # Threads that spin while the other process works would take twice the CPU time of the check.
    options = LoadOptions(device=how["device"], optimised=opening != "plain", spinning=False)
    if opening == "shipped" or how["spec"] is None:
        return open_artifact(path, options)[1]
    spec = TypeAdapter(PreprocessSpec).validate_python(how["spec"])
    return open_runtime(registry().exporter_for(path).spec, path, how["input"], spec, options)


def _pixel_range(path: Path, how: dict[str, Any]) -> Range | None:
    """Of the card, where the file has one."""
    if how["spec"] is None:
        return read_card(path).preprocess.pixel_range
    low_high = how["spec"]["pixel_range"]
    return None if low_high is None else (low_high[0], low_high[1])


def serve(path: Path, how: dict[str, Any], questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answers until the questions end, or says why the artifact does not open."""
    try:
        _serve(path, how, questions, answers)
    except ZooError as error:
        send(answers, {"refused": [error.cause, error.remedy, error.code]})


def _serve(path: Path, how: dict[str, Any], questions: IO[bytes], answers: IO[bytes]) -> None:
    read = partial(read_picture, pixel_range=_pixel_range(path, how))
    runtime: Runtime | None = None
    while True:
        try:
            head = receive(questions)
            given = read_array(questions, head)
        except EOFError:
            return
        if "open" in head:
            runtime = None  # frees its memory before the next one takes as much
            runtime = _runtime(path, how, head["open"])
            send(answers, {"refused": None})
            continue
        assert runtime is not None
        try:
            pixels = np.stack([read(Path(file)) for file in head["files"]]) if given is None else given
            answer = _maps(runtime, pixels) if "maps" in head else runtime(pixels)
        except Exception as error:  # runtimes raise classes of their own
            send(answers, {"error": _reason(error)})
        else:
            send(answers, {}, answer.astype("<f4"))


def _maps(runtime: Runtime, pixels: np.ndarray) -> np.ndarray:
    assert isinstance(runtime, MappedRuntime), "the runtime has no maps"
    return runtime.maps(pixels)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # PyTorch prints the whole program before the error.
    return lines[-1] if "TorchScript interpreter" in lines[0] else lines[0]


def _main() -> None:
    guard()
    limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not mix with the numbers
    serve(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
