"""Work that a page follows while it goes on, and may stop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Generic, TypeVar

from zoo_demo.service import Report

T = TypeVar("T")


class Stops:
    """Which visitors asked to stop what they had asked for."""

    def __init__(self) -> None:
        self._working: dict[str, threading.Event] = {}

    @contextmanager
    def working(self, visitor: str) -> Iterator[threading.Event]:
        """Yields what is set when the visitor asks to stop. What the same visitor asked for before is stopped."""
        self.stop(visitor)
        asked = self._working[visitor] = threading.Event()
        try:
            yield asked
        finally:
            if self._working.get(visitor) is asked:
                del self._working[visitor]

    def stop(self, visitor: str) -> None:
        """Stops what a visitor waits for, if there is something."""
        working = self._working.get(visitor)
        if working:
            working.set()


class Steps(Generic[T]):
    """Work in a thread of its own: iterating gives the shares that are done, `result` what it returned.

    Args:
        work: gets a function to report the share that is done; the function returns whether to go on.
        stopped: set to end the work at its next report. Leaving the iteration sets it, too.
    """

    def __init__(self, work: Callable[[Report], T], stopped: threading.Event) -> None:
        self._work, self._stopped = work, stopped
        self._shares: queue.Queue[float | None] = queue.Queue()
        self._future: Future[T] = Future()

    def __iter__(self) -> Iterator[float]:
        threading.Thread(target=self._run, daemon=True).start()
        try:
            while (share := self._shares.get()) is not None:
                yield share
        finally:
            self._stopped.set()

    def result(self) -> T:
        """What the work returned. Raises what it raised."""
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work(self._report))
        except BaseException as error:
            self._future.set_exception(error)
        finally:
            self._shares.put(None)

    def _report(self, share: float) -> bool:
        self._shares.put(share)
        return not self._stopped.is_set()
