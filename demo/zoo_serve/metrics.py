"""Figures for Prometheus, in its text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from zoo.processes.memory import resident_bytes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PICTURES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """What the service counted since it began. Several threads may use it.

    Args:
        waiting: how many pictures wait or run now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, int], int] = {}
        self._latency, self._batches = _Histogram(_SECONDS), _Histogram(_PICTURES)
        self.in_flight = self.answered = 0  # of /predict

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request; 499 is the status of one whose sender left before the answer."""
        with self._lock:
            self._requests[route, status] = self._requests.get((route, status), 0) + 1
            if route == "/predict":
                self.answered += 1
                self._latency.add(seconds)

    def batch(self, pictures: int) -> None:
        """Counts a run of a model."""
        with self._lock:
            self._batches.add(pictures)

    def text(self) -> str:
        """All figures."""
        with self._lock:
            requests = [
                f'zoo_requests_total{{route="{route}",status="{status}"}} {count}'
                for (route, status), count in sorted(self._requests.items())
            ]
            latency, batches = self._latency.lines("zoo_request_seconds"), self._batches.lines("zoo_batch_pictures")
        return "".join(
            f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in lines)
            for name, kind, meaning, lines in (
                ("zoo_requests_total", "counter", "Answered requests.", requests),
                ("zoo_request_seconds", "histogram", "Time from a request to its answer, of /predict.", latency),
                ("zoo_batch_pictures", "histogram", "Pictures in one run of a model.", batches),
                _gauge("zoo_queue_pictures", "Pictures that wait or run.", self._waiting()),
                _gauge("zoo_requests_in_flight", "Requests to /predict without an answer yet.", self.in_flight),
                _gauge("process_resident_memory_bytes", "Memory of this process.", resident_bytes()),
                ("process_cpu_seconds_total", "counter", "CPU of this process.", [_cpu_line()]),
            )
        )


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        lines, total = [], 0
        for bound, count in zip([*self._bounds, "+Inf"], self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._sum:.6f}", f"{name}_count {total}"]


def _gauge(name: str, meaning: str, value: int) -> tuple[str, str, str, list[str]]:
    return name, "gauge", meaning, [f"{name} {value}"]


def _cpu_line() -> str:
    return f"process_cpu_seconds_total {time.process_time():.3f}"
