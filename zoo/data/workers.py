"""Threads that decode and resize pictures, each on one core."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from zoo.data.stream import count_workers
from zoo.images import read_picture
from zoo.preprocess import Preprocess


def start_workers() -> ThreadPoolExecutor:
    """Threads in which torch computes on one core; everywhere else it computes with as many as before."""
    before, count = torch.get_num_threads(), count_workers()
    started = threading.Barrier(count + 1)

    def begin() -> None:
        # It sets this thread's number, and the one that threads begin with: the caller's must come back.
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the common number at its first call, so that call comes now
        started.wait()

    pool = ThreadPoolExecutor(count, initializer=begin)
    for _ in range(count):  # each starts a thread, for none is idle before all have started
        pool.submit(int)
    started.wait()
    torch.set_num_threads(before)
    return pool


def read_resized(path: Path, modules: tuple[Preprocess, ...]) -> tuple[np.ndarray, ...]:
    """What each module's `resize` makes of a picture, rounded: uint8 `[S, S, 3]`. Raises `UnreadablePictureError`."""
    picture = torch.from_numpy(read_picture(path))[None]
    with torch.inference_mode():
        resized = [module.resize(picture)[0] for module in modules]  # [3, S, S]
        rounded = [each.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous() for each in resized]
    return tuple(each.numpy() for each in rounded)
