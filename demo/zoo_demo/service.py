"""A model that answers from a process of its own, within limits of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import ArtifactError, DataError
from zoo.processes.children import Child
from zoo.processes.messages import exactly, receive, send

Kind = Literal["file", "strokes"]
LOADING, FIRST = 10, 2  # times the limit of a picture
GROWTH = 1.15  # of its process's memory that a model may keep
QUIET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one picture.

    Attributes:
        top: the most probable classes with their probabilities, best first.
        width, height: of the picture, in pixels.
        side: of what the model sees of it.
        view: that, as a PNG or JPEG file.
    """

    top: list[tuple[str, float]]
    width: int
    height: int
    side: int
    latency_ms: float
    view: bytes


class Service:
    """One artifact in a process; several threads may ask it, one after the other.

    Args:
        time_limit: seconds for one picture; loading the model, and its first answer, may take longer.

    Raises:
        ArtifactError: it cannot be loaded, or does not answer in time.
    """

    def __init__(self, path: Path, device: str, time_limit: float) -> None:
        self._path, self._device, self._limit = path, device, time_limit
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._resident = 0  # bytes of the process when it was new
        self._renewal: threading.Timer | None = None
        self._seconds = 0.1  # what a picture takes, a running mean
        self._begun: float | None = None
        with self._lock:
            self._started()

    @property
    def expected_seconds(self) -> float:
        """What a picture takes: as those before it, and at least as long as the one that is being answered already."""
        begun = self._begun
        return self._seconds if begun is None else max(self._seconds, time.monotonic() - begun)

    def ask(self, kind: Kind, body: bytes) -> Answer:
        """Decodes and classifies one picture.

        Args:
            kind: whether `body` is a picture's file or a drawing's strokes as JSON.

        Raises:
            DataError: it is no picture, or takes too long.
            ArtifactError: the model failed.
        """
        with self._lock:
            child = self._child or self._started()
            self._begun = time.monotonic()
            try:
                with self._within(child, self._limit):
                    with suppress(OSError):  # it has ended, and the answer says so
                        send(child.stdin, {"kind": kind, "bytes": len(body)}, body)
                    found = receive(child.stdout)
                    view = exactly(child.stdout, found.get("bytes", 0))
            finally:
                took, self._begun = time.monotonic() - self._begun, None
                self._seconds += 0.1 * (took - self._seconds)
            if found["resident_bytes"] > GROWTH * self._resident:
                self._renew_later()
        if "error" in found:
            raise DataError(*found["error"])
        top = [(str(label), float(probability)) for label, probability in found["top"]]
        return Answer(top, found["width"], found["height"], found["side"], found["latency_ms"], view)

    def close(self) -> None:
        """Ends the process."""
        if self._renewal:
            self._renewal.cancel()
        self._end()

    def _renew_later(self) -> None:
        """Takes a new process where this one keeps memory, once no picture has come for a while."""
        if self._renewal:
            self._renewal.cancel()
        self._renewal = threading.Timer(QUIET_SECONDS, self._renew)
        self._renewal.daemon = True
        self._renewal.start()

    def _renew(self) -> None:
        with self._lock:
            if self._child:
                self._end()
                with suppress(ArtifactError):  # the next picture tries again, and says why
                    self._started()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()
            child.close()

    def _started(self) -> Child:
        child = self._child = Child("zoo_demo.worker", self._path, self._device)
        for limit in (LOADING * self._limit, FIRST * self._limit):
            with self._within(child, limit):
                found = receive(child.stdout)
            if "error" in found:
                self._end()
                raise ArtifactError(*found["error"])
        self._resident = found["resident_bytes"]
        return child

    @contextmanager
    def _within(self, child: Child, seconds: float) -> Iterator[None]:
        """Ends the process where it takes longer, and says so, or that it ended by itself."""
        try:
            with child.within(seconds):
                yield
        except (EOFError, OSError):
            self._end()
            if child.late:
                raise ArtifactError(
                    f"The model gave no answer within {seconds:g} seconds.",
                    "Try a smaller picture; who runs the demo can allow more with --time-limit.",
                ) from None
            raise ArtifactError(
                "The model's process ended before its answer.", "Try another picture, or check the file: zoo verify"
            ) from None
