"""Decoding ahead of whoever computes, and batches of pictures of one size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from zoo.data.types import Pictures
from zoo.errors import UnreadablePictureError

# Each worker holds pictures that are decoded ahead.
MAX_WORKERS = 8
# Bounds what waits in memory: 64 million pixels are 192 MB of uint8.
MAX_WAITING_PIXELS = 64 * 2**20


def decode(pictures: Pictures) -> Iterator[tuple[int, np.ndarray | UnreadablePictureError]]:
    """Yields every index with its picture, uint8 `[H, W, 3]`, or the error that it raised, in order.

    Threads decode ahead: Pillow releases the interpreter's lock.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(MAX_WORKERS, cores)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[int, object]] = deque()
        indices = iter(range(len(pictures)))

        def submit() -> None:
            index = next(indices, None)
            if index is not None:
                waiting.append((index, pool.submit(_read, pictures, index)))

        for _ in range(2 * workers):
            submit()
        while waiting:
            index, future = waiting.popleft()
            result = future.result()  # type: ignore[attr-defined]
            submit()
            yield index, result


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
