"""Measures one artifact with one number of threads in its own process, because threads and memory belong to a process.

`python -m zoo.benchmarking.worker PATH DEVICE THREADS` loads the artifact and answers each line of stdin (JSON:
`batch`, `height`, `width`, `seconds`) with a line of JSON: the seconds of each call, or an error. It imports only what
the artifact needs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from zoo.processes.memory import resident_bytes

if TYPE_CHECKING:
    from zoo.specs import Runtime


def _serve(path: Path, device: str, threads: int, answers: IO[str]) -> None:
    bare = resident_bytes()
    from time import perf_counter

    from zoo.artifacts.predictor import open_artifact
    from zoo.specs import LoadOptions

    started = perf_counter()
    card, runtime = open_artifact(path, LoadOptions(device=device, threads=threads, spinning=False))
    loaded = {"seconds": perf_counter() - started, "bytes": resident_bytes() - bare}
    _say(answers, {**loaded, "image_size": card.preprocess.image_size})
    for line in sys.stdin:
        _say(answers, _measure(runtime, json.loads(line)) | {"peak_bytes": resident_bytes(peak=True) - bare})


def _measure(runtime: Runtime, asked: dict[str, Any]) -> dict[str, Any]:
    from time import perf_counter

    import numpy as np

    try:
        shape = (asked["batch"], asked["height"], asked["width"], 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        calls: list[float] = []
        begun = now = perf_counter()
        while not calls or now - begun < asked["seconds"]:
            runtime(pixels)
            calls.append(perf_counter() - now)
            now += calls[-1]
    except Exception as error:  # runtimes raise classes of their own
        return {"error": (str(error).strip() or type(error).__name__).splitlines()[0]}
    return {"calls": calls}


def _say(answers: IO[str], found: dict[str, Any]) -> None:
    print(json.dumps(found), file=answers, flush=True)


def _main() -> None:
    from zoo.processes.children import guard

    guard()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints must not mix with the answers
    from zoo.errors import ZooError

    try:
        _serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), answers)
    except ZooError as error:
        _say(answers, {"error": str(error)})


if __name__ == "__main__":
    _main()
