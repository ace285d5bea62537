"""One queue before a model's process: the visitors of the page and the programs of `/api` take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from zoo.artifacts.predictor import Prediction
from zoo_demo.limits import MAX_WAIT_SECONDS
from zoo_demo.models import Model
from zoo_demo.service import TOP_CLASSES, Answer, Checked, Kind, Report
from zoo_serve.jobs import Batcher, Job


class _Call(Job):
    """A picture, answered by a call."""

    def __init__(self, call: Callable[[], Any], seconds: float) -> None:
        super().__init__(time.monotonic() + seconds, seconds)
        self.call = call


class Turns:
    """A model of the demo as `zoo_serve` knows models, and as the page does.

    Gradio gives the pictures of the page one by one. Each goes before all programs that wait, so both sides get every
    second turn.

    Args:
        name: in the addresses of `/api`.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.name, self.card = name, model.card
        self._service = model.service
        self._batcher: Batcher[_Call] = Batcher(_run)

    @property
    def expected_seconds(self) -> float:
        """The expected time of a picture."""
        return self._service.expected_seconds

    @property
    def running_seconds(self) -> float:
        """For how long the current picture has been in work."""
        return self._batcher.running_seconds

    def ask(self, kind: Kind, body: bytes, top_k: int = TOP_CLASSES, *, first: bool = True) -> Answer:
        """See `zoo_demo.service.Service.ask`: a picture of the page."""
        answer: Answer = self._turn(lambda: self._service.ask(kind, body, top_k), first=first)
        return answer

    def look(self, kind: Kind, body: bytes, report: Report) -> tuple[str, bytes]:
        """See `zoo_demo.service.Service.look`: a picture of the page."""
        found: tuple[str, bytes] = self._turn(lambda: self._service.look(kind, body, report))
        return found

    def check(self) -> list[Checked]:
        """See `zoo_demo.service.Service.check`: it takes its turn like a picture of the page."""
        found: list[Checked] = self._turn(self._service.check)
        return found

    def _turn(self, work: Callable[[], Any], *, first: bool = True) -> Any:
        call = _Call(work, MAX_WAIT_SECONDS)
        self._batcher.put(call, first=first)
        return call.future.result()

    def submit(self, body: bytes, top_k: int, seconds: float) -> Future[Prediction]:
        """See `zoo_serve.models.Model.submit`: a picture of a program."""

        def predicted() -> Prediction:
            top = tuple(self._service.ask("file", body, top_k).top)
            return Prediction(*top[0], top)

        call = _Call(predicted, seconds)
        self._batcher.put(call)
        return call.future

    def close(self) -> None:
        """Ends the queue."""
        self._batcher.close()


def _run(calls: list[_Call]) -> None:
    for call in calls:
        call.future.set_result(call.call())
