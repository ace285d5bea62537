"""Jobs that wait for a model, and the thread that does them: those that wait together and are alike, in one run."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Generic, TypeVar

from zoo_serve.refusals import ending, late

END_SECONDS = 2.0  # for the run that is on when the service ends


class Job:
    """Something to answer. Whoever does not want the answer any more cancels `future`.

    Args:
        deadline: of the monotonic clock; nothing is done after it.
        seconds: from the arrival to the deadline, for the message.

    Attributes:
        kind: jobs of one kind may share a run.
    """

    def __init__(self, deadline: float, seconds: float) -> None:
        self.deadline, self._seconds = deadline, seconds
        self.future: Future[Any] = Future()
        self.kind: Hashable = None

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for it. A job past its deadline fails here."""
        if not self.future.done() and time.monotonic() > self.deadline:
            self.fail(late(self._seconds))
        return not self.future.done()

    def begin(self) -> bool:
        """Whether it is to be done now. Then it cannot be cancelled any more."""
        return self.wanted and self.future.set_running_or_notify_cancel()

    def fail(self, error: BaseException) -> None:
        """Gives the error to whoever waits."""
        with suppress(InvalidStateError):  # nobody waits any more
            self.future.set_exception(error)


JobT = TypeVar("JobT", bound=Job)


class Batcher(Generic[JobT]):
    """The jobs of one model, in the order of their arrival, done by one thread.

    It does not wait for a batch to fill: whatever came during a run goes into the next one.

    Args:
        run: does jobs of one kind: gives each future a result. It may raise instead.
        most: how many jobs of the kind of this one share a run.
    """

    def __init__(self, run: Callable[[list[JobT]], None], most: Callable[[JobT], int] = lambda _: 1) -> None:
        self._run, self._most = run, most
        self._waiting: deque[JobT] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds = 0.1  # for a job, a running mean
        self._begun: float | None = None
        self._running = 1  # jobs of the current run
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def running_seconds(self) -> float:
        """For how long the current run has been on; 0 between runs."""
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    @property
    def expected_seconds(self) -> float:
        """The expected time of a job: the running mean, or its share of the current run's time if that is longer."""
        return max(self._seconds, self.running_seconds / self._running)

    def put(self, job: JobT, *, first: bool = False) -> None:
        """Adds a job. After the end it fails.

        Args:
            first: before all that wait.
        """
        with self._changed:
            if not self._closed:
                (self._waiting.appendleft if first else self._waiting.append)(job)
                self._changed.notify()
                return
        job.fail(ending())

    def close(self) -> None:
        """Ends the thread after its current run, for which it waits a little."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, deque()
            self._changed.notify()
        for job in left:
            job.fail(ending())
        self._thread.join(END_SECONDS)

    def _take(self) -> list[JobT]:
        """The next jobs to do together; none at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return []
                first = self._waiting.popleft()
                if first.begin():
                    break
            batch, others, most = [first], deque[JobT](), self._most(first)
            while self._waiting and len(batch) < most:
                job = self._waiting.popleft()
                if job.kind != first.kind:
                    others.append(job)
                elif job.begin():
                    batch.append(job)
            self._waiting.extendleft(reversed(others))
            return batch

    def _work(self) -> None:
        while batch := self._take():
            self._running, self._begun = len(batch), time.monotonic()
            try:
                self._run(batch)
            except BaseException as error:  # for those who wait
                for job in batch:
                    job.fail(error)
            took, self._begun = time.monotonic() - self._begun, None
            self._seconds += 0.1 * (took / len(batch) - self._seconds)
            del batch  # it holds pictures
