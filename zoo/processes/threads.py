"""Threads for calls that may never end. A runtime answers in one call into C++, which signals do not interrupt.

Python handles signals in the main thread only. If another thread computes, Ctrl-C and SIGTERM end the main thread's
wait at once. A process can end while these threads still run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as wait_for
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")

# An ordinary batch ends in this time. A thread that comes back while the interpreter ends may abort the process.
GRACE_SECONDS = 0.5


class Threads(Executor):
    """Like `ThreadPoolExecutor`, but its end waits for running work at most `GRACE_SECONDS`."""

    def __init__(self, count: int) -> None:
        self._tasks: SimpleQueue[tuple[Any, ...] | None] = SimpleQueue()
        self._running: set[Future[Any]] = set()
        self._count = count
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()
        _pools.add(self)

    @property
    def busy(self) -> bool:
        """Whether one of its threads is working."""
        return bool(self._running)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `concurrent.futures.Executor`."""
        future: Future[T] = Future()
        self._tasks.put((future, function, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Ends idle threads now, and the other threads after their work."""
        for _ in range(self._count):
            self._tasks.put(None)
        if wait:
            wait_for(set(self._running), GRACE_SECONDS)

    def _work(self) -> None:
        while task := self._tasks.get():
            self._run(*task)
            del task  # it holds pictures

    def _run(self, future: Future[T], function: Callable[..., T], args: Any, kwargs: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._running.add(future)
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # for the reader of the result
            future.set_exception(error)
        finally:
            self._running.discard(future)
            del future  # which holds the error, whose traceback holds this frame


_pools: WeakSet[Threads] = WeakSet()
_idle: dict[int, Threads] = {}  # by process: a fork has no threads


def aside(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function. The main thread lets another thread call it, so that signals can interrupt the wait."""
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **kwargs)
    pool = _idle.pop(os.getpid(), None) or Threads(1)
    future = pool.submit(function, *args, **kwargs)
    try:
        return future.result()
    finally:
        if future.done():
            _idle[os.getpid()] = pool
        else:
            pool.shutdown()


def busy() -> bool:
    """Whether a thread is still working, perhaps forever."""
    return any(pool.busy for pool in _pools)
