"""Begins and ends a service: loads its models while it already answers, and answers what it took before it ends."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from zoo.artifacts.predictor import Predictor, load
from zoo.errors import ZooError
from zoo.processes.memory import give_back_freed_memory
from zoo_serve.decoder import Decoder
from zoo_serve.models import MAX_BATCH_PIXELS, BatchedModel, names_for
from zoo_serve.settings import Settings
from zoo_serve.state import State

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MIN_DRAIN_SECONDS = 0.5  # in which requests on their way get an answer instead of a closed connection
WARM_UP_SECONDS = 5.0  # at most, for each model
_LOOK_SECONDS = 0.02
QUIET_SECONDS = 2.0  # without a request: then memory that decoders freed goes back to the system


def _warm_up(predictor: Predictor, batch: int) -> None:
    """Runs the largest batch, so that the model has all of its memory before the first request, and not under load."""
    side = predictor.card.preprocess.image_size
    begun = time.perf_counter()  # the other clock may stand still for 16 ms on Windows
    predictor.predict([np.zeros((side, side, 3), np.uint8)])
    number = min(batch, int(WARM_UP_SECONDS / (time.perf_counter() - begun)))
    if number > 1:
        side = math.isqrt(MAX_BATCH_PIXELS // number)
        for _ in predictor.stream(enumerate([np.zeros((side, side, 3), np.uint8)] * number), number):
            pass


class Lifecycle:
    """The life of a service in its process.

    Args:
        failed: called with the error if a model cannot be loaded, in the event loop.
    """

    def __init__(self, settings: Settings, state: State, failed: Callable[[ZooError], None]) -> None:
        self._settings, self._state, self._failed = settings, state, failed
        self._models: list[BatchedModel] = []
        self._before: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def __call__(self, _: object) -> AsyncIterator[None]:
        """The lifespan of the application."""
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(self._settings.decoders, self._settings.limits.pixels)
        self._heed_signals()
        # Not in the main thread: signals must be heard, and the service answers that it is starting.
        threading.Thread(target=self._load, daemon=True).start()
        self._keep(self._tidy())
        try:
            yield
        finally:
            self._state.phase = "draining"
            for task in self._tasks:
                task.cancel()
            self._decoder.close()
            for model in self._models:
                model.close()

    def _load(self) -> None:
        settings = self._settings
        try:
            predictors = [load(path, settings.device, threads=settings.threads) for path in settings.artifacts]
            for predictor in predictors:
                _warm_up(predictor, settings.limits.batch)
            names = names_for(predictor.card for predictor in predictors)
            for name, predictor in zip(names, predictors, strict=True):
                observe = self._state.metrics.batch
                self._models.append(BatchedModel(name, predictor, self._decoder, settings.limits.batch, observe))
        except ZooError as error:
            self._loop.call_soon_threadsafe(self._failed, error)
        except Exception as error:  # or the service would be starting for ever
            cause = f"The models cannot be loaded: {type(error).__name__}."
            failure = ZooError(cause, "Check the files with zoo verify.", code="models-not-loaded")
            self._loop.call_soon_threadsafe(self._failed, failure)
        else:
            self._loop.call_soon_threadsafe(self._state.begin, self._models)

    def _heed_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:  # uvicorn has set its own before
            self._before[number] = signal.signal(number, self._heard)

    def _heard(self, number: int, frame: Any) -> None:
        if self._state.phase == "draining" and number == signal.SIGINT:  # somebody presses Ctrl-C again
            self._before[number](number, frame)
        self._loop.call_soon_threadsafe(self._drain, number)

    def _drain(self, number: int) -> None:
        if self._state.phase != "draining":
            self._state.phase = "draining"
            self._keep(self._end(number))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins work that is not collected before its end."""
        self._tasks.add(asyncio.ensure_future(work))

    async def _tidy(self) -> None:
        """Gives freed memory back after each time of requests."""
        seen = tidied = self._state.metrics.answered
        while True:
            await asyncio.sleep(QUIET_SECONDS)
            before, seen = seen, self._state.metrics.answered
            if seen == before != tidied and not self._state.metrics.in_flight:
                await asyncio.to_thread(give_back_freed_memory)
                tidied = seen

    async def _end(self, number: int) -> None:
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < self._state.drain_seconds:
            if waited >= MIN_DRAIN_SECONDS and not self._state.metrics.in_flight:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._before[number](number, None)
