"""Measures several artifacts in turns. Each has its own process, and only one computes at a time.

A round measures every setting for a short slice, in the opposite order of the round before. So a slow or shared machine
slows all of them equally. The first round is a warm-up and does not count. Waiting threads do not spin: a spinning pool
would take the core of the artifact that is being measured.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.artifacts.predictor import read_card
from zoo.processes.children import Child

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is measured: pictures are uint8 noise `[batch, height, width, 3]`; `index` is the artifact's."""

    index: int
    artifact: Path
    threads: int
    batch: int
    height: int
    width: int


@dataclass(slots=True)
class Measured:
    """The results of a setting.

    Attributes:
        rounds: the seconds of each call, by round.
        load_seconds, loaded_bytes: of opening the artifact. The memory of a bare interpreter does not count.
        peak_bytes: the largest resident memory up to the end of its first slice; smaller batches came before.
        failure: why results are missing or incomplete.
    """

    setting: Setting
    rounds: list[list[float]] = field(default_factory=list)
    load_seconds: float = 0.0
    loaded_bytes: int = 0
    peak_bytes: int = 0
    failure: str | None = None

    @property
    def latency_ms(self) -> dict[str, float]:
        """Percentiles 50, 95 and 99 over all calls."""
        calls = np.concatenate([np.array(calls) for calls in self.rounds])
        return {f"p{rank}": float(np.percentile(calls, rank)) * 1e3 for rank in (50, 95, 99)}

    @property
    def throughputs(self) -> list[float]:
        """Pictures per second, by round."""
        return [self.setting.batch * len(calls) / sum(calls) for calls in self.rounds]

    @property
    def throughput(self) -> float:
        """The median of the rounds."""
        return float(np.median(self.throughputs))

    def ratios(self, other: Measured) -> list[float]:
        """Its throughput divided by another's, by round."""
        return [own / its for own, its in zip(self.throughputs, other.throughputs, strict=True)]


def settings(
    artifacts: Sequence[Path], threads: Sequence[int], batches: Sequence[int], size: tuple[int, int] | None
) -> list[Setting]:
    """All combinations; pictures have the network's own size unless `size` (height, width) is given.

    Raises:
        ArtifactError, UsageError: as `zoo.artifacts.predictor.load`, for any of the files.
    """
    sides = [read_card(path).preprocess.image_size for path in artifacts]
    return [
        Setting(index=index, artifact=path, threads=count, batch=batch, height=height, width=width)
        for index, (path, side) in enumerate(zip(artifacts, sides, strict=True))
        for height, width in [size or (side, side)]
        for count in threads
        for batch in sorted(batches)
    ]


def measure(wanted: Sequence[Setting], seconds: float, device: str, advance: Callable[[int], None]) -> list[Measured]:
    """Measures every setting for about `seconds`, without the warm-up. A setting that fails is noted and skipped.

    Args:
        advance: called with the number of slices done since the last call; there are `ROUNDS` + 1 for each setting.
    """
    results = [Measured(setting) for setting in wanted]
    with ExitStack() as stack:
        workers: dict[tuple[int, int], _Worker] = {}
        for result in results:
            own = (result.setting.index, result.setting.threads)
            if own not in workers:
                workers[own] = stack.enter_context(_worker(result.setting, device))
        for number in range(ROUNDS + 1):
            for result in results if number % 2 == 0 else results[::-1]:
                own = (result.setting.index, result.setting.threads)
                if not result.failure:
                    _take(workers[own], result, seconds / ROUNDS, warm_up=number == 0)
                advance(1)
    return results


def _take(worker: _Worker, result: Measured, seconds: float, *, warm_up: bool) -> None:
    setting = result.setting
    found = worker.loaded if "error" in worker.loaded else worker.ask(setting, seconds)
    if "error" in found:
        result.failure = found["error"]
    elif warm_up:
        result.load_seconds, result.loaded_bytes = worker.loaded["seconds"], worker.loaded["bytes"]
        result.peak_bytes = found["peak_bytes"]
    else:
        result.rounds.append(found["calls"])


class _Worker:
    def __init__(self, child: Child) -> None:
        self._child = child
        self.loaded = self._answer()

    def ask(self, setting: Setting, seconds: float) -> dict[str, Any]:
        asked = {"batch": setting.batch, "height": setting.height, "width": setting.width, "seconds": seconds}
        try:
            self._child.stdin.write(json.dumps(asked).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:  # it has ended; the answer tells why
            pass
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._child.stdout.readline()
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        code, said = self._child.last_words()
        if code == -signal.SIGKILL:
            return {"error": "its process was killed, probably because memory ran out."}
        return {"error": f"its process ended with code {code}{': ' + said if said else '.'}"}


@contextmanager
def _worker(setting: Setting, device: str) -> Iterator[_Worker]:
    """A process that has loaded the artifact, or failed to."""
    # OpenMP's threads, of PyTorch, wait without spinning: https://www.openmp.org/spec-html/5.0/openmpse55.html
    environment = {"OMP_WAIT_POLICY": "PASSIVE"}
    child = Child("zoo.benchmarking.worker", setting.artifact, device, setting.threads, environment=environment)
    try:
        yield _Worker(child)
    finally:
        child.kill()
        child.close()
