"""A model in its own process, with time limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.errors import ArtifactError, DataError, ZooError
from zoo.processes.children import Child
from zoo.processes.messages import exactly, receive, send

Kind = Literal["file", "strokes"]
Report = Callable[[float], bool]
LOADING, FIRST = 10, 2  # limits for these, in time limits of a picture
GROWTH = 1.15  # memory that a model may keep, relative to its new process
QUIET_SECONDS = 5.0
TOP_CLASSES = 5  # that the page shows


def go_on(_: float) -> bool:
    """The report of work that nobody stops."""
    return True


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to one picture.

    Attributes:
        top: the most probable classes with their probabilities, best first.
        width, height: of the picture, in pixels.
        side: of the square that the model sees, in pixels.
        view: that square, as a PNG or JPEG file.
    """

    top: list[tuple[str, float]]
    width: int
    height: int
    side: int
    latency_ms: float
    view: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check of the file found: `hash` or `numbers`, see `zoo.verify`.

    Attributes:
        passed: None if the check was not made.
        summary: a sentence. It may quote the file, so it is untrusted text.
    """

    name: str
    passed: bool | None
    summary: str


class Service:
    """One artifact in a process. Several threads may call it; they wait for each other.

    Args:
        time_limit: seconds for one picture. Loading the model and its first answer may take longer.

    Raises:
        ArtifactError: the artifact cannot be loaded, or does not answer in time.
    """

    def __init__(self, path: Path, device: str, time_limit: float) -> None:
        self._path, self._device, self._limit = path, device, time_limit
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._resident = 0  # bytes of the process when it was new
        self._renewal: threading.Timer | None = None
        self._seconds = 0.1  # for a picture, a running mean
        self._begun: float | None = None
        with self._lock:
            self._started()

    @property
    def expected_seconds(self) -> float:
        """The expected time of a picture: the running mean, or the time of the current picture if that is longer."""
        begun = self._begun
        return self._seconds if begun is None else max(self._seconds, time.monotonic() - begun)

    def ask(self, kind: Kind, body: bytes, top_k: int = TOP_CLASSES, *, first: bool = True) -> Answer:  # noqa: ARG002
        """Decodes and classifies one picture.

        Args:
            kind: whether `body` is a picture's file or a drawing's strokes as JSON.
            top_k: how many classes to list.
            first: whether it goes before all programs that wait; `zoo_demo.turns.Turns` heeds it.

        Raises:
            DataError: the picture cannot be read.
            ArtifactError: the model failed or took too long.
        """
        found, view = self._asked({"kind": kind, "top_k": top_k, "look": False}, body)
        top = [(str(label), float(probability)) for label, probability in found["top"]]
        return Answer(top, found["width"], found["height"], found["side"], found["latency_ms"], view)

    def look(self, kind: Kind, body: bytes, report: Report = go_on) -> tuple[str, bytes]:
        """The class of one picture, and a picture of where the model found it. Raises like `ask`.

        Args:
            report: gets the share of the work that is done; returns whether to go on.
        """
        found, view = self._asked({"kind": kind, "look": True, "seconds": self._limit}, body, report)
        return str(found["label"]), view

    def check(self) -> list[Checked]:
        """Compares the file with its card, as `zoo verify` does. Raises `DataError` or `ArtifactError`."""
        limit = FIRST * self._limit
        try:
            found, _ = self._asked({"kind": "check", "look": False}, b"", limit=limit)
        except ArtifactError as error:
            if error.code != "model-late":
                raise
            raise ArtifactError(
                f"The check was not done within {limit:g} seconds.",
                "Check the file in a terminal with zoo verify.",
                code="check-late",
            ) from None
        return [Checked(str(name), passed, str(summary)) for name, passed, summary in found["checks"]]

    def _asked(
        self, head: dict[str, Any], body: bytes, report: Report = go_on, *, limit: float | None = None
    ) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            child = self._child or self._started()
            self._begun = time.monotonic()
            try:
                with self._within(child, limit or self._limit):
                    with suppress(OSError):  # it has ended; the answer tells
                        send(child.stdin, head | {"bytes": len(body)}, body)
                    while "done" in (found := receive(child.stdout)):
                        send(child.stdin, {"go_on": report(found["done"])})
                    view = exactly(child.stdout, found.get("bytes", 0))
            finally:
                took, self._begun = time.monotonic() - self._begun, None
                if not head["look"] and head["kind"] != "check":
                    self._seconds += 0.1 * (took - self._seconds)
            if found["resident_bytes"] > GROWTH * self._resident:
                self._renew_later()
        if "error" in found:
            raise _told(DataError, found["error"])
        return found, view

    def close(self) -> None:
        """Ends the process."""
        if self._renewal:
            self._renewal.cancel()
        self._end()

    def _renew_later(self) -> None:
        """Starts a new process, because this one keeps memory, when no picture has come for a while."""
        if self._renewal:
            self._renewal.cancel()
        self._renewal = threading.Timer(QUIET_SECONDS, self._renew)
        self._renewal.daemon = True
        self._renewal.start()

    def _renew(self) -> None:
        with self._lock:
            if self._child:
                self._end()
                with suppress(ArtifactError):  # the next picture tries again and gets the error
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
                raise _told(ArtifactError, found["error"])
        self._resident = found["resident_bytes"]
        return child

    @contextmanager
    def _within(self, child: Child, seconds: float) -> Iterator[None]:
        """Ends the process at the time limit. Raises `ArtifactError` then, or if the process ended by itself."""
        try:
            with child.within(seconds):
                yield
        except (EOFError, OSError):
            self._end()
            if child.late:
                raise ArtifactError(
                    f"The model gave no answer within {seconds:g} seconds.",
                    "Try a smaller picture. The operator can allow more time with --time-limit.",
                    code="model-late",
                ) from None
            raise ArtifactError(
                "The model's process ended before its answer.",
                "Try another picture, or check the file with zoo verify.",
                code="model-ended",
            ) from None


def _told(kind: type[ZooError], error: list[str]) -> ZooError:
    """The error that the process tells."""
    cause, remedy, code = error
    return kind(cause, remedy, code=code)
