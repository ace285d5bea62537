"""Pictures that are decoded ahead: in order, within their budget, without ever waiting for each other for good."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from zoo.data import prefetch, reading
from zoo.data.memory_budget import MemoryBudget
from zoo.data.prefetch import decode_ahead
from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images.bands import BYTES_PER_PIXEL

from ..endless import wait_for

LIMIT = 1000 * BYTES_PER_PIXEL


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(prefetch, "DECODE_BUDGET", LIMIT)
    monkeypatch.setattr(prefetch, "count_cores", lambda: 8)
    monkeypatch.setattr(reading, "UNCOUNTED_PIXELS", 0)


class Decoder:
    """Makes pictures of so many pixels, and measures what those that are decoded or not yet taken hold."""

    def __init__(self) -> None:
        self.held = self.peak = self.decoded = 0
        self.lock = threading.RLock()

    def add(self, num_bytes: int) -> None:
        with self.lock:
            self.held += num_bytes
            self.peak = max(self.peak, self.held)

    def __call__(self, pixels: int, admit: Callable[[int], None]) -> np.ndarray:
        admit(pixels)
        self.decoded += 1
        self.add(BYTES_PER_PIXEL * pixels)
        time.sleep(0.001)
        picture = np.full((1, pixels, 3), pixels % 251, np.uint8)
        weakref.finalize(picture, self.add, -picture.nbytes)
        self.add(picture.nbytes - BYTES_PER_PIXEL * pixels)
        return picture

    def taken(self, tasks: list[list[int]]) -> list[int]:
        """The pixels of the pictures that came."""
        pixels = []
        with closing(decode_ahead([partial(self, each) for each in task] for task in tasks)) as found:
            for picture in found:
                assert isinstance(picture, np.ndarray)
                pixels.append(picture.shape[1])
                del picture
        return pixels


@pytest.mark.parametrize("most", [50, 600, 5000])
@pytest.mark.parametrize("together", [1, 16])
def test_pictures_in_flight_are_within_the_budget(most, together):
    decoder = Decoder()
    sizes = np.random.default_rng(most).integers(1, most, 160).tolist()
    tasks = [sizes[at : at + together] for at in range(0, len(sizes), together)]
    assert decoder.taken(tasks) == sizes
    # The one that is taken while the next is waited for, and one that the taker decodes itself.
    assert decoder.peak <= max(LIMIT, BYTES_PER_PIXEL * max(sizes)) + (BYTES_PER_PIXEL + 3) * max(sizes)


def test_a_group_of_giants_is_decoded_one_by_one():
    decoder = Decoder()
    sizes = [10, *[3000] * 15]
    assert decoder.taken([sizes, [10] * 16, sizes]) == [*sizes, *[10] * 16, *sizes]
    assert decoder.peak <= LIMIT + 2 * (BYTES_PER_PIXEL + 3) * 3000


def test_arrays_count_too():
    taken = itertools.count()
    tasks = ([np.zeros((1, 1000, 3), np.uint8)] for _ in iter(lambda: next(taken), 100))
    with closing(decode_ahead(tasks)) as found:
        for number in range(50):
            next(found)
            ahead = next(taken) - 1 - number
            taken = itertools.count(number + ahead + 1)
            assert ahead <= 4


def test_whoever_stops_early_wakes_those_that_wait():
    before = threading.active_count()
    decoder = Decoder()
    found = decode_ahead([partial(decoder, 900)] for _ in range(100))
    next(found)
    found.close()
    wait_for(lambda: threading.active_count() <= before)
    assert decoder.decoded < 20


def test_what_failed_beside_others_is_tried_again_alone():
    threads: dict[int, list[str]] = {}

    def read(number: int, admit: Callable[[int], None]) -> np.ndarray:
        admit(1)
        threads.setdefault(number, []).append(threading.current_thread().name)
        if number == 7 or (number == 5 and len(threads[number]) == 1):
            raise TooLittleMemoryError(f"'{number}'")
        return np.full((1, 1, 3), number, np.uint8)

    found = list(decode_ahead([partial(read, number)] for number in range(20)))
    assert [int(picture.flat[0]) for number, picture in enumerate(found) if number != 7] == [
        number for number in range(20) if number != 7
    ]
    assert isinstance(found[7], TooLittleMemoryError)
    assert {number: len(tried) for number, tried in threads.items() if len(tried) > 1} == {5: 2, 7: 2}
    assert threads[5][1] == threads[7][1] == threading.current_thread().name


def test_unreadable_pictures_hold_nothing():
    def read(number: int, admit: Callable[[int], None]) -> np.ndarray:
        admit(900)
        raise UnreadablePictureError(f"{number}", "")

    found = list(decode_ahead([partial(read, number)] for number in range(50)))
    assert [error.cause for error in found] == [str(number) for number in range(50)]


def wait_in_threads(budget: MemoryBudget, *asked: tuple[int, int]) -> list[tuple[int, bool]]:
    """Asks in threads, one after the other; what they were told comes into the list."""
    told: list[tuple[int, bool]] = []
    for task, num_bytes in asked:
        thread = threading.Thread(target=lambda t=task, n=num_bytes: told.append((t, budget.ask(t, n))), daemon=True)
        thread.start()
        wait_for(lambda: waits_or_ended(thread))  # noqa: B023
    return told


def waits_or_ended(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident)
    return not thread.is_alive() or (frame is not None and frame.f_code is threading.Condition.wait.__code__)


def settled(told: list[tuple[int, bool]], expected: list[tuple[int, bool]]) -> bool:
    """Whether these come, and no others."""
    wait_for(lambda: len(told) >= len(expected))
    time.sleep(0.1)
    return sorted(told) == expected


def test_tasks_wait_in_their_order():
    budget = MemoryBudget(10)
    assert budget.ask(0, 6)
    told = wait_in_threads(budget, (2, 3), (1, 5), (3, 1))
    assert settled(told, [(2, True)])  # 1 waits, and 3 behind it, though it would fit
    budget.give_back(6)
    assert settled(told, [(1, True), (2, True), (3, True)])


def test_a_giant_goes_alone():
    budget = MemoryBudget(10)
    told = wait_in_threads(budget, (0, 99), (1, 1), (2, 99))
    assert settled(told, [(0, True)])
    budget.give_back(99)
    assert settled(told, [(0, True), (1, True)])
    budget.give_back(1)
    assert settled(told, [(0, True), (1, True), (2, True)])


def test_the_task_that_is_taken_next_never_waits():
    budget = MemoryBudget(10)
    assert budget.ask(1, 10)
    told = wait_in_threads(budget, (0, 1))
    assert settled(told, [])
    budget.expect(0)
    assert settled(told, [(0, False)])
    assert not budget.ask(0, 1)


def test_a_closed_budget_refuses():
    budget = MemoryBudget(10)
    assert budget.ask(0, 10)
    told = wait_in_threads(budget, (1, 1), (2, 1))
    budget.close()
    assert settled(told, [(1, False), (2, False)])
    assert not budget.ask(3, 0)
