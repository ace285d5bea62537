"""Threads that decode and resize pictures, each on one core."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.data.memory_budget import DECODE_BUDGET, MemoryBudget
from zoo.data.prefetch import count_workers
from zoo.errors import TooLittleMemoryError, is_out_of_memory
from zoo.images import read_picture
from zoo.images.bands import BYTES_PER_PIXEL
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import LARGE_PIXELS, resize

# What the resize of torch takes for each pixel: 3 bytes of the picture, and 12 as float32.
RESIZE_BYTES_PER_PIXEL = 16

# All threads of the process share it. Only what is being decoded or resized counts, so that nobody waits for long.
_budget = MemoryBudget(DECODE_BUDGET)
_turns = count()


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


class Resize:
    """`zoo.transforms.preprocess.Preprocess.resize`; of large pictures, without a copy of them in float32."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self.spec, self.module = spec, Preprocess(spec)

    def __call__(self, picture: np.ndarray) -> Tensor:
        """Takes uint8 `[H, W, 3]`; returns float32 `[3, S, S]` in 0..255."""
        if picture.shape[0] * picture.shape[1] > LARGE_PIXELS:
            return torch.from_numpy(resize(picture[None], self.spec))[0]
        resized: Tensor = self.module.resize(torch.from_numpy(picture)[None])[0]
        return resized


def read_resized(path: Path, resizes: tuple[Resize, ...]) -> tuple[np.ndarray, ...]:
    """What each of `resizes` makes of a picture, rounded: uint8 `[S, S, 3]`. Raises `UnreadablePictureError`."""
    try:
        return _resized(path, resizes)
    except TooLittleMemoryError:
        return _resized(path, resizes, alone=True)  # the other threads may have held what it needs


def _resized(path: Path, resizes: tuple[Resize, ...], *, alone: bool = False) -> tuple[np.ndarray, ...]:
    held = 0

    def admit(num_pixels: int) -> None:
        nonlocal held
        num_bytes = num_pixels * (BYTES_PER_PIXEL if num_pixels > LARGE_PIXELS else RESIZE_BYTES_PER_PIXEL)
        num_bytes = max(num_bytes, _budget.limit) if alone else num_bytes
        _budget.ask(next(_turns), num_bytes)
        held = num_bytes

    try:
        with _memory_for(path), torch.inference_mode():
            picture = read_picture(path, admit=admit)
            resized = [resize_(picture) for resize_ in resizes]  # [3, S, S]
            rounded = [each.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous() for each in resized]
            return tuple(each.numpy() for each in rounded)
    finally:
        _budget.give_back(held)


@contextmanager
def _memory_for(path: Path) -> Iterator[None]:
    """Turns a failed allocation into the error of one picture."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLittleMemoryError(f"'{path}'") from None
