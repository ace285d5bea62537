"""Room for pictures that wait, of all requests and models together."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from zoo_serve.limits import MAX_STORED_BYTES
from zoo_serve.refusals import RequestError


class Admission:
    """Counts pictures and bytes; several threads may use it.

    Args:
        most: pictures that wait or run.
        seconds: that they may take together.
        num_bytes: of all bodies that have arrived or are arriving.
        elsewhere: how many pictures wait beside those that are counted here.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        num_bytes: int = MAX_STORED_BYTES,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self._most, self._seconds, self._most_bytes = most, seconds, num_bytes
        self._waiting = self._bytes = 0
        self._lock = threading.Lock()
        self.elsewhere = elsewhere

    @property
    def waiting(self) -> int:
        """Pictures that wait or run."""
        return self._waiting + self.elsewhere()

    def check(self, pictures: int, expected_seconds: float) -> None:
        """Raises `RequestError` if so many more have no room.

        Args:
            expected_seconds: for one picture.
        """
        if pictures > self._most:  # which no retry would change
            raise RequestError(
                413,
                f"The form has {pictures} files, and the queue has room for {self._most}.",
                "Send them in several requests.",
                code="too-many-files",
            )
        waiting = self.waiting
        seconds = waiting * expected_seconds
        if waiting + pictures > self._most or seconds > self._seconds:
            raise full(waiting, min(seconds, self._seconds) / 2)

    def enter(self, future: Future[Any]) -> None:
        """Counts a picture until its future is done."""
        with self._lock:
            self._waiting += 1
        future.add_done_callback(self._leave)

    def held(self) -> Held:
        """A context in which the bytes of one request are counted."""
        return Held(self)

    def hold(self, num_bytes: int) -> None:
        """Counts bytes; a negative number gives them back. Raises `RequestError` if they have no room."""
        with self._lock:
            if num_bytes > 0 and self._bytes + num_bytes > self._most_bytes:
                raise full(self.waiting, 1.0)
            self._bytes += num_bytes

    def _leave(self, _: Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1


class Held:
    """The bytes of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self._bytes = admission, 0

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.hold(-self._bytes)
        self._bytes = 0

    def grow(self, num_bytes: int) -> None:
        """Counts more bytes. Raises `RequestError` if they have no room."""
        self._admission.hold(num_bytes)
        self._bytes += num_bytes


def full(waiting: int, seconds: float) -> RequestError:
    """The error of a request that finds no room.

    Args:
        seconds: until there may be.
    """
    retry = max(1, math.ceil(seconds))
    return RequestError(
        429,
        f"The service is busy: {waiting} pictures wait for it.",
        f"Send the request again in {retry} seconds.",
        code="queue-full",
        retry_s=retry,
    )
