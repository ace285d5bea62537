"""Decodes pictures in threads, so that the event loop never waits for a picture."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from zoo.artifacts.card import Card
from zoo.errors import ZooError
from zoo.images import read_picture
from zoo.images.read import PostponedError
from zoo_serve.jobs import Job
from zoo_serve.limits import MAX_DECODED_PIXELS

_LOOK_SECONDS = 0.2  # between two looks at whether a job that waits is still wanted


class PictureJob(Job):
    """A picture to classify.

    Args:
        body: its file.
        top_k: how many classes to list.

    Attributes:
        picture: uint8 `[H, W, 3]`, once it is decoded.
    """

    def __init__(self, body: bytes, top_k: int, deadline: float, seconds: float) -> None:
        super().__init__(deadline, seconds)
        self.body, self.top_k = body, top_k
        self.picture: np.ndarray | None = None
        self.future.add_done_callback(self._forget)

    def _forget(self, _: Future[Any]) -> None:
        self.body, self.picture = b"", None


class Decoder:
    """A bounded number of threads, and a bounded number of pixels that are decoded and wait for their models.

    Args:
        max_pixels: of one picture.
        most: pixels of all pictures that are decoded and not answered yet. A larger picture waits until it is alone.
            Pictures get room in the order in which they ask for it.
    """

    def __init__(self, threads: int, max_pixels: int, most: int = MAX_DECODED_PIXELS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._max_pixels, self._most = max_pixels, most
        self._used = 0
        self._asking: deque[PictureJob] = deque()
        self._changed = threading.Condition()

    def put(self, job: PictureJob, card: Card, then: Callable[[PictureJob], None]) -> None:
        """Decodes the file of a job later, then calls `then`. If it cannot be decoded, the job fails."""
        self._pool.submit(self._decode, job, card, then)

    def close(self) -> None:
        """Ends the threads after their current pictures."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, job: PictureJob, card: Card, then: Callable[[PictureJob], None]) -> None:
        if not job.wanted:
            return
        try:
            picture = read_picture(
                job.body,
                max_pixels=self._max_pixels,
                admit=partial(self._admit, job),
                pixel_range=card.preprocess.pixel_range,
            )
        except PostponedError:  # nobody wants it any more
            return
        except ZooError as error:
            job.fail(error)
            return
        except BaseException as error:
            job.fail(error)
            raise
        job.kind, job.picture, job.body = picture.shape, picture, b""
        then(job)

    def _admit(self, job: PictureJob, pixels: int) -> None:
        """Waits for room. Raises `PostponedError` if nobody wants the picture any more."""
        with self._changed:
            self._asking.append(job)
            try:
                # Not past those that asked before: a stream of small pictures would never let a large one in.
                while self._asking[0] is not job or (self._used and self._used + pixels > self._most):
                    if not job.wanted:
                        raise PostponedError
                    self._changed.wait(_LOOK_SECONDS)
                self._used += pixels
            finally:
                self._asking.remove(job)
                self._changed.notify_all()
        job.future.add_done_callback(lambda _: self._free(pixels))

    def _free(self, pixels: int) -> None:
        with self._changed:
            self._used -= pixels
            self._changed.notify_all()
