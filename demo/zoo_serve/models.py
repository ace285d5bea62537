"""The models of a service: each has a name, a card, and takes the files of pictures."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

import numpy as np

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import Prediction, Predictor
from zoo.errors import TooLittleMemoryError, ZooError
from zoo_serve.decoder import Decoder, PictureJob
from zoo_serve.jobs import Batcher

MAX_BATCH_PIXELS = 4_000_000  # a runtime computes in float32, with up to 15 bytes for each pixel of the batch


class Model(Protocol):
    """What answers."""

    @property
    def name(self) -> str: ...
    @property
    def card(self) -> Card: ...
    @property
    def expected_seconds(self) -> float: ...
    @property
    def running_seconds(self) -> float: ...

    def submit(self, body: bytes, top_k: int, seconds: float) -> Future[Prediction]:
        """The answer to a picture's file, within so many seconds or not at all."""


class BatchedModel:
    """An artifact in this process: threads decode the pictures, one thread runs the model.

    Args:
        batch: most pictures in a run.
        observe: called with the number of pictures of each run.
    """

    def __init__(
        self, name: str, predictor: Predictor, decoder: Decoder, batch: int, observe: Callable[[int], None]
    ) -> None:
        self.name, self.card = name, predictor.card
        self._predictor, self._decoder, self._observe = predictor, decoder, observe
        self._batcher = Batcher(self._run, partial(_most, batch))

    @property
    def expected_seconds(self) -> float:
        """The expected time of a picture."""
        return self._batcher.expected_seconds

    @property
    def running_seconds(self) -> float:
        """For how long the current run has been on."""
        return self._batcher.running_seconds

    def submit(self, body: bytes, top_k: int, seconds: float) -> Future[Prediction]:
        """See `Model.submit`."""
        job = PictureJob(body, top_k, time.monotonic() + seconds, seconds)
        self._decoder.put(job, self.card, self._batcher.put)
        return job.future

    def close(self) -> None:
        """Ends the thread."""
        self._batcher.close()

    def _run(self, jobs: list[PictureJob]) -> None:
        pictures = [job.picture for job in jobs if job.picture is not None]
        self._observe(len(pictures))
        try:
            self._answer(jobs, pictures)
        except ZooError:
            if len(jobs) == 1:
                raise
            for job in jobs:  # what is wrong with one picture must not be the others' answer
                if not job.future.done():
                    self._alone(job)

    def _alone(self, job: PictureJob) -> None:
        try:
            self._answer([job], [job.picture] if job.picture is not None else [])
        except ZooError as error:
            job.fail(error)

    def _answer(self, jobs: Sequence[PictureJob], pictures: Sequence[np.ndarray]) -> None:
        def failed(index: int, error: TooLittleMemoryError) -> None:
            jobs[index].fail(error)

        for indices, logits in self._predictor.stream(enumerate(pictures), len(pictures), failed=failed):
            most = max(jobs[index].top_k for index in indices)
            for index, found in zip(indices, self._predictor.predictions(logits, most), strict=True):
                top = found.top[: jobs[index].top_k]
                jobs[index].future.set_result(Prediction(found.label, found.probability, top))


def _most(batch: int, job: PictureJob) -> int:
    """How many pictures of the size of this one share a run."""
    height, width, _ = job.picture.shape if job.picture is not None else (1, 1, 3)
    return max(1, min(batch, MAX_BATCH_PIXELS // int(height * width)))


def names_for(cards: Iterable[Card]) -> list[str]:
    """A name for each card that needs no escaping in an address; all are different."""
    taken: list[str] = []
    for card in cards:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", card.name).strip("-.")[:64] or "model"
        if card.precision != "fp32":  # files of one run
            plain = f"{plain}-{card.precision}"
        numbered = (f"{plain}-{number}" for number in itertools.count(2))
        taken.append(next(name for name in itertools.chain([plain], numbered) if name not in taken))
    return taken
