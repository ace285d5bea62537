"""Decoding ahead of whoever computes, and batches of pictures of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from zoo.data.types import Pictures
from zoo.errors import UnreadablePictureError

# Each worker holds pictures that are decoded ahead.
MAX_WORKERS = 8
# Bounds what waits in memory: 64 million pixels are 192 MB of uint8.
MAX_WAITING_PIXELS = 64 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


def decode(pictures: Pictures) -> Iterator[tuple[int, np.ndarray | UnreadablePictureError]]:
    """Yields every index with its picture, uint8 `[H, W, 3]`, or the error that it raised, in order.

    Threads decode ahead: Pillow releases the interpreter's lock.
    """
    with ThreadPoolExecutor(count_workers()) as pool:
        yield from enumerate(in_order(pool, partial(_read, pictures), range(len(pictures))))


def count_workers() -> int:
    """How many threads decode at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, cores)


def in_order(pool: Executor, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `function` makes of each item, in their order; a pool works ahead, no further than two items a worker."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * count_workers():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _read(pictures: Pictures, index: int) -> np.ndarray | UnreadablePictureError:
    try:
        return pictures[index]
    except UnreadablePictureError as error:
        return error


def batches_by_size(
    pictures: Iterable[tuple[int, np.ndarray]], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Groups pictures of equal size: yields their indices and uint8 `[n, H, W, 3]`, n <= batch_size.

    Pictures of large or rare sizes do not wait for company longer than `MAX_WAITING_PIXELS` allows.
    """
    groups: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
    waiting = 0
    for index, picture in pictures:
        group = groups.setdefault(picture.shape, [])
        group.append((index, picture))
        pixels = picture.shape[0] * picture.shape[1]
        waiting += pixels
        if len(group) == batch_size or len(group) * pixels > MAX_WAITING_PIXELS // 4:
            waiting -= len(group) * pixels
            yield _stack(groups.pop(picture.shape))
        elif waiting > MAX_WAITING_PIXELS:
            for full in groups.values():
                yield _stack(full)
            groups, waiting = {}, 0
    for rest in groups.values():
        yield _stack(rest)


def _stack(group: list[tuple[int, np.ndarray]]) -> tuple[list[int], np.ndarray]:
    return [index for index, _ in group], np.stack([picture for _, picture in group])
