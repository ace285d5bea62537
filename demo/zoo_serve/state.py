"""What a service knows of itself: its models, its limits, and whether it takes requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from zoo.errors import nearest
from zoo_serve.admission import Admission
from zoo_serve.limits import Limits
from zoo_serve.metrics import Metrics
from zoo_serve.models import Model
from zoo_serve.refusals import RequestError, ending

Phase = Literal["starting", "ready", "draining"]
STUCK = 4  # a run this many times longer than a request may take is one that does not end


class State:
    """The state of a service, for the event loop.

    Attributes:
        phase: `draining`: no new request is taken, those that were taken are answered.
        models: by name; the first one answers requests that name none.
    """

    def __init__(self, limits: Limits, models: Sequence[Model] = (), admission: Admission | None = None) -> None:
        self.limits = limits
        self.admission = admission or Admission(limits.waiting, limits.seconds)
        self.metrics = Metrics(lambda: self.admission.waiting)
        self.models: dict[str, Model] = {}
        self.phase: Phase = "starting"
        if models:
            self.begin(models)

    def begin(self, models: Sequence[Model]) -> None:
        """Takes requests from now on."""
        self.models = {model.name: model for model in models}
        if self.phase == "starting":
            self.phase = "ready"

    @property
    def is_stuck(self) -> bool:
        """Whether a model's run does not end."""
        return any(model.running_seconds > STUCK * self.limits.seconds for model in self.models.values())

    def check(self) -> None:
        """Raises `RequestError` if no request is taken now."""
        if self.phase == "starting":
            raise RequestError(
                503, "The service is starting.", "Send the request again in 2 seconds.", code="starting", retry_s=2
            )
        if self.phase == "draining":
            raise ending()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A request that was taken, until its answer."""
        self.check()
        self.metrics.in_flight += 1
        try:
            yield
        finally:
            self.metrics.in_flight -= 1

    def model(self, name: str | None) -> Model:
        """A model by its name. Raises `RequestError`."""
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            near = nearest(name, self.models)
            hint = f"Did you mean {near[0]}? " if near else ""
            cause = "The service has no model with this name."
            raise RequestError(404, cause, f"{hint}GET /models lists the names.", code="unknown-model")
        return self.models[name]

    def check_room(self, model: Model, pictures: int) -> None:
        """Raises `RequestError` if the queue is full."""
        self.admission.check(pictures, model.expected_seconds)

    @property
    def drain_seconds(self) -> int:
        """How long the answers to all requests that were taken may take."""
        return math.ceil(self.limits.seconds) + 1
