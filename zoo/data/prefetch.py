"""Decodes pictures ahead in threads."""

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
from zoo.data.pictures import Pictures
from zoo.data.reading import Found, Reader, Source
from zoo.processes.threads import Threads

# Each worker holds pictures that are decoded ahead.
MAX_WORKERS = 8
# What one thread decodes at a time: more than one picture where they are small.
TASK_BYTES = 2**15
TASK_PICTURES = 16
# For batches as uint8 that run or wait for a worker: four pictures of 20 megapixels.
BATCHES_BUDGET = 256 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


def decode(pictures: Pictures) -> Iterator[tuple[int, Found]]:
    """Yields every index with its picture, uint8 `[H, W, 3]`, or its error, in order.

    Threads decode ahead: Pillow releases the interpreter's lock.
    """
    tasks = ([partial(pictures.read, index) for index in task] for task in _tasks(pictures))
    with closing(decode_ahead(tasks)) as found:
        yield from enumerate(found)


def decode_ahead(tasks: Iterable[Sequence[Source]]) -> Generator[Found, None, None]:
    """Yields each picture, uint8 `[H, W, 3]`, or its error, in order. Threads decode ahead.

    The header of a file tells the size of the picture. Before the picture is decoded, it waits for its share of
    `DECODE_BUDGET`. If it must not wait, or memory ran out while others were decoded, this thread decodes it later,
    when its turn comes.

    Args:
        tasks: the pictures that one thread decodes at a time.
    """
    budget = MemoryBudget(DECODE_BUDGET)
    reader = Reader(budget)
    with Threads(count_workers()) as pool:  # all threads start now: later there may be no memory for another one
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
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_workers() -> int:
    """The number of threads that decode at once."""
    return min(MAX_WORKERS, count_cores())


def in_order(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int | None = None,
    is_full: Callable[[], bool] = lambda: False,
) -> Generator[Result, None, None]:
    """The result of `function` for each item, in their order.

    Args:
        ahead: how many more items than the requested one the pool may hold. Default: two per worker
            (`count_workers`).
        is_full: whether to wait for a result before the next item is taken.
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
    """The result of `function` for each item, in the order in which they finish: a slow item delays no other.

    Args:
        ahead: how many items the pool may hold.
        weigh: returns the weight of an item.
        most: the largest weight of all items in the pool at which another item is taken.
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
    """Waits for at least one result, and yields the results that are ready."""
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        del waiting[future]
    yield from (future.result() for future in done)


def _tasks(pictures: Pictures) -> Iterator[range]:
    """The pictures of each task. One task costs more time than decoding a file of a kilobyte."""
    begin = size = 0
    for index in range(len(pictures)):
        size += pictures.size(index)
        if size >= TASK_BYTES or index + 1 - begin == TASK_PICTURES:
            yield range(begin, index + 1)
            begin, size = index + 1, 0
    yield range(begin, len(pictures))
