"""`zoo_serve.decoder`: room for decoded pictures, without HTTP."""

from __future__ import annotations

import queue
import time

import pytest

from zoo_serve.decoder import Decoder, PictureJob

from ..cards import any_card
from .service import png

WAIT = 30
QUIET = 0.5  # longer than the decoder's own looks


@pytest.fixture
def decoder():
    decoder = Decoder(2, max_pixels=100, most=100)
    yield decoder
    decoder.close()


class Decoded:
    """Puts pictures of so many pixels, and notes which are decoded."""

    def __init__(self, decoder) -> None:
        self._decoder, self._card = decoder, any_card()
        self._found: queue.Queue[PictureJob] = queue.Queue()

    def put(self, pixels: int) -> PictureJob:
        job = PictureJob(png(size=(pixels, 1)), 1, time.monotonic() + WAIT, WAIT)
        self._decoder.put(job, self._card, self._found.put)
        return job

    def next(self, seconds: float = WAIT) -> PictureJob:
        return self._found.get(timeout=seconds)

    def nothing(self) -> bool:
        with pytest.raises(queue.Empty):
            self.next(QUIET)
        return True


def test_small_pictures_do_not_keep_a_large_one_out(decoder):
    decoded = Decoded(decoder)
    first = decoded.put(60)
    assert decoded.next() is first
    large = decoded.put(90)
    assert decoded.nothing()
    small = decoded.put(30)  # there is room for it, and it waits
    assert decoded.nothing()
    first.future.set_result(None)
    assert decoded.next() is large
    assert decoded.nothing()
    large.future.set_result(None)
    assert decoded.next() is small


def test_a_large_picture_that_nobody_wants_any_more_lets_the_next_in(decoder):
    decoded = Decoded(decoder)
    first = decoded.put(60)
    assert decoded.next() is first
    large = decoded.put(90)
    assert decoded.nothing()
    small = decoded.put(30)
    assert large.future.cancel()
    assert decoded.next() is small
