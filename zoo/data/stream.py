"""Decoding ahead of whoever computes, and batches of pictures of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np

from zoo.data.types import Pictures
from zoo.errors import UnreadablePictureError

# Each worker holds pictures that are decoded ahead.
MAX_WORKERS = 8
# What one thread decodes at a time: more than one picture where they are small.
TASK_BYTES = 2**15
TASK_PICTURES = 16
# Bounds what waits in memory: 64 million pixels are 192 MB of uint8.
MAX_WAITING_PIXELS = 64 * 2**20
# A picture of a rare size waits for no more than this many others: results that are printed in order wait for it.
MAX_LATER_PICTURES = 256

Item = TypeVar("Item")
Result = TypeVar("Result")


def decode(pictures: Pictures) -> Iterator[tuple[int, np.ndarray | UnreadablePictureError]]:
    """Yields every index with its picture, uint8 `[H, W, 3]`, or the error that it raised, in order.

    Threads decode ahead: Pillow releases the interpreter's lock.
    """
    with ThreadPoolExecutor(count_workers()) as pool:
        yield from enumerate(chain.from_iterable(in_order(pool, partial(_read, pictures), _tasks(pictures))))


def count_cores() -> int:
    """How many of the machine's cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_workers() -> int:
    """How many threads decode at once."""
    return min(MAX_WORKERS, count_cores())


def in_order(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int | None = None
) -> Iterator[Result]:
    """What `function` makes of each item, in their order.

    Args:
        ahead: how many items the pool may have begun or still hold beyond the one that is asked for; two for each of
            `count_workers` unless said.
    """
    most = 2 * count_workers() if ahead is None else ahead
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def as_they_come(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """What `function` makes of each item, in the order in which that ends: a slow item holds no other up.

    Args:
        ahead: how many items the pool may have begun or still hold.
    """
    waiting: set[Future[Result]] = set()
    try:
        for item in items:
            waiting.add(pool.submit(function, item))
            if len(waiting) > ahead:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in waiting:
            future.cancel()


def _tasks(pictures: Pictures) -> Iterator[range]:
    """The pictures of each task: handing one to a thread costs more than decoding a file of a kilobyte."""
    begin = size = 0
    for index in range(len(pictures)):
        size += pictures.size(index)
        if size >= TASK_BYTES or index + 1 - begin == TASK_PICTURES:
            yield range(begin, index + 1)
            begin, size = index + 1, 0
    yield range(begin, len(pictures))


def _read(pictures: Pictures, indices: range) -> list[np.ndarray | UnreadablePictureError]:
    return [_read_one(pictures, index) for index in indices]


def _read_one(pictures: Pictures, index: int) -> np.ndarray | UnreadablePictureError:
    try:
        return pictures[index]
    except UnreadablePictureError as error:
        return error


def batches_by_size(
    pictures: Iterable[tuple[int, np.ndarray]], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Groups pictures of equal size: yields their indices and uint8 `[n, H, W, 3]`, n <= batch_size.

    Pictures of large or rare sizes do not wait for company longer than `MAX_WAITING_PIXELS` and
    `MAX_LATER_PICTURES` allow.
    """
    groups: dict[tuple[int, ...], _Group] = {}  # the one that began first is the first
    waiting = 0
    for count, (index, picture) in enumerate(pictures):
        group = groups.setdefault(picture.shape, _Group(count))
        group.members.append((index, picture))
        pixels = picture.shape[0] * picture.shape[1]
        waiting += pixels
        if len(group.members) == batch_size or len(group.members) * pixels > MAX_WAITING_PIXELS // 4:
            waiting -= len(group.members) * pixels
            yield groups.pop(picture.shape).batch()
        elif waiting > MAX_WAITING_PIXELS:
            for full in groups.values():
                yield full.batch()
            groups, waiting = {}, 0
        while groups and count - next(iter(groups.values())).begun >= MAX_LATER_PICTURES:
            height, width, _ = oldest = next(iter(groups))
            waiting -= len(groups[oldest].members) * height * width
            yield groups.pop(oldest).batch()
    for rest in groups.values():
        yield rest.batch()


@dataclass(frozen=True, slots=True)
class _Group:
    begun: int
    members: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def batch(self) -> tuple[list[int], np.ndarray]:
        indices, pictures = zip(*self.members, strict=True)
        return list(indices), pictures[0][None] if len(pictures) == 1 else np.stack(pictures)
