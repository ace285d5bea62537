"""Begins and ends a service: loads its models while it already answers, and answers what it took before it ends."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from zoo.artifacts.predictor import load
from zoo.errors import ZooError
from zoo_serve.decoder import Decoder
from zoo_serve.models import BatchedModel, names_for
from zoo_serve.settings import Settings
from zoo_serve.state import State

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MIN_DRAIN_SECONDS = 0.5  # in which requests on their way get an answer instead of a closed connection
_LOOK_SECONDS = 0.02


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
        self._decoder = Decoder(self._settings.threads, self._settings.limits.pixels)
        self._heed_signals()
        # Not in the main thread: signals must be heard, and the service answers that it is starting.
        threading.Thread(target=self._load, daemon=True).start()
        try:
            yield
        finally:
            self._state.phase = "draining"
            self._decoder.close()
            for model in self._models:
                model.close()

    def _load(self) -> None:
        settings = self._settings
        try:
            predictors = [load(path, settings.device, threads=settings.threads) for path in settings.artifacts]
            for predictor in predictors:  # the first request does not wait for it
                side = predictor.card.preprocess.image_size
                predictor.predict([np.zeros((side, side, 3), np.uint8)])
            names = names_for(predictor.card for predictor in predictors)
            for name, predictor in zip(names, predictors, strict=True):
                observe = self._state.metrics.batch
                self._models.append(BatchedModel(name, predictor, self._decoder, settings.limits.batch, observe))
        except ZooError as error:
            self._loop.call_soon_threadsafe(self._failed, error)
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
            task = asyncio.ensure_future(self._end(number))
            self._tasks.add(task)  # or it might be collected before its end

    async def _end(self, number: int) -> None:
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < self._state.drain_seconds:
            if waited >= MIN_DRAIN_SECONDS and not self._state.metrics.in_flight:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._before[number](number, None)
