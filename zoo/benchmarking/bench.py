"""Measures exported files: what `zoo bench` prints."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from zoo.benchmarking.rounds import ROUNDS, Measured, measure, settings
from zoo.data.prefetch import count_cores
from zoo.errors import UsageError
from zoo.html import count, table, text
from zoo.progress import Reporter
from zoo.recipes.keywords import suggesting

LONGEST_S = 120.0  # all in all, unless `seconds` is given
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The results of a benchmark.

    Attributes:
        results: one for each setting, also for those that failed.
        names: short and distinct ones of the files, by `Setting.index`.
        seconds: for each setting.
    """

    results: tuple[Measured, ...]
    names: dict[int, str]
    seconds: float
    device: str

    def __repr__(self) -> str:
        failed = len(self.results) - len(self.good)
        settings_in_words = count(len(self.results), "setting") + (f", {failed} of them failed" if failed else "")
        return f"Benchmark({', '.join(self.names.values())}: {settings_in_words} on {self.device})"

    def _repr_html_(self) -> str:
        rows = [
            (
                text(self.names[result.setting.index]),
                f"{result.setting.threads}",
                f"{result.setting.batch}",
                *(f"{value:.4g}" for value in result.latency_ms.values()),
                f"{result.throughput:.4g}",
            )
            for result in self.good
        ]
        headers = ("file", "threads", "batch", "p50 ms", "p95 ms", "p99 ms", "pictures/s")
        return table("Benchmark", headers, rows, names={0})

    @property
    def good(self) -> list[Measured]:
        """The settings that did not fail."""
        return [result for result in self.results if not result.failure]

    def base(self, result: Measured) -> Measured | None:
        """The first file in the same setting; None if it failed."""
        setting = result.setting
        same = (
            each
            for each in self.good
            if each.setting.index == 0
            and (each.setting.threads, each.setting.batch) == (setting.threads, setting.batch)
        )
        return next(same, None)


@suggesting
def bench(
    artifacts: Sequence[str | os.PathLike[str]],
    *,
    batch_sizes: Sequence[int] = (1, 8, 32),
    threads: Sequence[int] | None = None,
    seconds: float | None = None,
    size: tuple[int, int] | None = None,
    device: Device = "cpu",
    progress: bool = False,
) -> Benchmark:
    """Measures latency, throughput and memory of exported files, in turns, each in a process of its own.

    Args:
        artifacts: paths of files that `zoo export` wrote. Ratios are to the first.
        batch_sizes: numbers of pictures in a batch.
        threads: numbers of threads; by default 1, and all cores.
        seconds: for each setting; by default 3, or less if there are many settings.
        size: height and width of the pictures; by default the network's own.
        device: `cpu` or `cuda`.
        progress: whether to show on stderr what `zoo bench` shows there.

    Raises:
        UsageError: a file does not exist, or an option has a wrong value.
        ArtifactError: a file was not written by `zoo export`, or its card is not valid.
    """
    threads = sorted({1, count_cores()}) if threads is None else threads
    paths = _checked(artifacts, batch_sizes, threads, seconds, size=size, device=device)
    wanted = settings(paths, threads, batch_sizes, size)
    each = seconds or min(3.0, LONGEST_S / len(wanted))
    reporter = Reporter(quiet=not progress)
    expected = each * len(wanted) * (ROUNDS + 1) / ROUNDS
    what = count(len(wanted), "setting")
    reporter.say(f"{what}, {each:.2g} s each: about {expected:.0f} s with warm-up, once all are loaded")
    with reporter.bar("Measuring", len(wanted) * (ROUNDS + 1)) as advance:
        found = measure(wanted, each, device, advance)
    return Benchmark(results=tuple(found), names=_names(paths), seconds=each, device=device)


def _checked(artifacts: Any, batch_sizes: Any, threads: Any, seconds: Any, *, size: Any, device: Any) -> list[Path]:
    """The paths of the files. Raises `UsageError` for a wrong argument."""
    rules = {
        "artifacts": (_paths(artifacts), artifacts, "a list of paths of exported files"),
        "batch_sizes": (_counts(batch_sizes), batch_sizes, "whole numbers from 1"),
        "threads": (_counts(threads), threads, "whole numbers from 1"),
        "seconds": (seconds is None or _positive(seconds), seconds, "a number of seconds above 0"),
        "size": (size is None or (_counts(size) and len(size) == 2), size, "height and width in pixels"),  # noqa: PLR2004
        "device": (device in get_args(Device), device, f"one of {', '.join(get_args(Device))}"),
    }
    for name, (holds, value, words) in rules.items():
        if not holds:
            cause = f"The option {name} cannot be {value!r}."
            raise UsageError(cause, f"It takes {words}.", code="impossible-option")
    return [Path(path) for path in artifacts]


def _paths(values: Any) -> bool:
    several = isinstance(values, Sequence) and not isinstance(values, str | bytes)
    return several and len(values) > 0 and all(isinstance(value, str | os.PathLike) for value in values)


def _counts(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) > 0 and all(type(v) is int and v > 0 for v in values)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _names(artifacts: Sequence[Path]) -> dict[int, str]:
    """The shortest ends of their paths that differ; a file that is named twice is numbered."""
    ends = list(map(str, artifacts))
    for depth in range(1, max(len(path.parts) for path in artifacts)):
        ends = [str(Path(*path.parts[-depth:])) for path in artifacts]
        if len(set(ends)) == len(set(artifacts)):
            break
    return {i: f"{end} #{ends[: i + 1].count(end)}" if ends.count(end) > 1 else end for i, end in enumerate(ends)}
