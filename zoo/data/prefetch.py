"""Decoding ahead of whoever computes, and batches of pictures of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import closing
from functools import partial
from itertools import count
from typing import TypeVar

from zoo.data.memory_budget import DECODE_BUDGET, MemoryBudget
from zoo.data.reading import Found, Reader, Source
from zoo.data.types import Pictures
from zoo.processes.threads import Threads

# Each worker holds pictures that are decoded ahead.
MAX_WORKERS = 8
# What one thread decodes at a time: more than one picture where they are small.
TASK_BYTES = 2**15
TASK_PICTURES = 16
# Of batches that run, or wait for a worker, as uint8: four pictures of 20 megapixels.
BATCHES_BUDGET = 256 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


def decode(pictures: Pictures) -> Iterator[tuple[int, Found]]:
    """Yields every index with its picture, uint8 `[H, W, 3]`, or the error that it raised, in order.

    Threads decode ahead: Pillow releases the interpreter's lock.
    """
    tasks = ([partial(pictures.read, index) for index in task] for task in _tasks(pictures))
    with closing(decode_ahead(tasks)) as found:
        yield from enumerate(found)


def decode_ahead(tasks: Iterable[Sequence[Source]]) -> Generator[Found, None, None]:
    """Yields each picture, uint8 `[H, W, 3]`, or the error that it raised, in order; threads decode ahead.

    A picture waits for its share of `DECODE_BUDGET` between the header of its file, which says how large it is, and
    its decoding. Where it must not wait, or there was no memory while others were decoded too, this thread decodes it
    when its turn comes.

    Args:
        tasks: the pictures that one thread decodes at a time.
    """
    budget = MemoryBudget(DECODE_BUDGET)
    reader = Reader(budget)
    with Threads(count_workers()) as pool:  # all of which have begun: later there may be no memory for another one
        numbered = enumerate(reader.counted(tasks))
        with closing(in_order(pool, reader.read_ahead, numbered, is_full=lambda: budget.is_full)) as coming:
            try:
                for number in count():
                    budget.expect(number)
                    readings = next(coming, None)
                    if readings is None:
                        return
                    yield from map(reader.take, readings)
            finally:
                budget.close()


def count_cores() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_workers() -> int:
    """How many threads decode at once."""
    return min(MAX_WORKERS, count_cores())


def in_order(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int | None = None,
    is_full: Callable[[], bool] = lambda: False,
) -> Generator[Result, None, None]:
    """What `function` makes of each item, in their order.

    Args:
        ahead: how many items the pool may have begun or still hold beyond the one that is asked for; two for each of
            `count_workers` unless said.
        is_full: whether to wait for a result before the next item is asked for.
    """
    most = 2 * count_workers() if ahead is None else ahead
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            while len(waiting) > most or (waiting and is_full()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def as_they_come(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
    *,
    weigh: Callable[[Item], int] = lambda _: 0,
    most: int = 0,
) -> Iterator[Result]:
    """What `function` makes of each item, in the order in which that ends: a slow item holds no other up.

    Args:
        ahead: how many items the pool may have begun or still hold.
        weigh: what an item weighs.
        most: what the items that the pool has begun or still holds may weigh before another one is asked for.
    """
    waiting: dict[Future[Result], int] = {}
    try:
        for item in items:
            waiting[pool.submit(function, item)] = weigh(item)
            while len(waiting) > ahead or sum(waiting.values()) > most:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)
    finally:
        for future in waiting:
            future.cancel()


def _finished(waiting: dict[Future[Result], int]) -> Iterator[Result]:
    """Removes what has ended, at least one; yields their results."""
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        del waiting[future]
    yield from (future.result() for future in done)


def _tasks(pictures: Pictures) -> Iterator[range]:
    """The pictures of each task: handing one to a thread costs more than decoding a file of a kilobyte."""
    begin = size = 0
    for index in range(len(pictures)):
        size += pictures.size(index)
        if size >= TASK_BYTES or index + 1 - begin == TASK_PICTURES:
            yield range(begin, index + 1)
            begin, size = index + 1, 0
    yield range(begin, len(pictures))
