"""Threads that decode and resize pictures, each on one core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from zoo.data.memory_budget import DECODE_BUDGET, MemoryBudget
from zoo.data.prefetch import count_workers
from zoo.data.sources import Source
from zoo.errors import TooLittleMemoryError, is_out_of_memory
from zoo.images.bands import BYTES_PER_PIXEL
from zoo.images.values import Range, ValueLog
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import LARGE_PIXELS, resize

# The resize of torch needs this per pixel: 3 bytes for the picture, and 12 as float32.
RESIZE_BYTES_PER_PIXEL = 16

# For all threads of the process. Only pictures that are being decoded or resized count, so waits are short.
SHARED_BUDGET = MemoryBudget(DECODE_BUDGET)
_turns = count()


def start_workers() -> ThreadPoolExecutor:
    """Threads in which torch uses one core. In all other threads it uses as many as before."""
    before, count = torch.get_num_threads(), count_workers()
    started = threading.Barrier(count + 1)

    def begin() -> None:
        # This sets the number for this thread and the default for new threads. The default must be restored.
        torch.set_num_threads(1)
        torch.get_num_threads()  # a thread takes the default at its first call, so that call is now
        started.wait()

    pool = ThreadPoolExecutor(count, initializer=begin)
    for _ in range(count):  # each starts a thread, because no thread is idle before all have started
        pool.submit(int)
    started.wait()
    torch.set_num_threads(before)
    return pool


class Resize:
    """`zoo.transforms.preprocess.Preprocess.resize`, which makes no float32 copy of large pictures.

    Where products resample, numpy takes between a half and an eighth of torch's time.
    """

    def __init__(self, spec: PreprocessSpec) -> None:
        self.spec, self.module = spec, Preprocess(spec)

    def __call__(self, picture: np.ndarray) -> Tensor:
        """Takes uint8 `[H, W, 3]`; returns float32 `[3, S, S]` in 0..255."""
        if self.spec.resampled or picture.shape[0] * picture.shape[1] > LARGE_PIXELS:
            return torch.from_numpy(resize(picture[None], self.spec))[0]
        resized: Tensor = self.module.resize(torch.from_numpy(picture)[None])[0]
        return resized


def read_resized(
    source: Source,
    resizes: tuple[Resize, ...],
    budget: MemoryBudget = SHARED_BUDGET,
    *,
    pixel_range: Range | None = None,
    log: ValueLog | None = None,
) -> tuple[np.ndarray, ...]:
    """Decodes a picture and applies each of `resizes`, rounded: uint8 `[S, S, 3]`.

    Args:
        budget: limits the memory of the pictures that threads decode at once.
        pixel_range: as in `zoo.images.read_picture`.
        log: takes what is found in the picture.

    Raises:
        UnreadablePictureError: as `read_picture`.
    """
    read = partial(source.read, pixel_range=pixel_range, observe=log.of(source.name) if log else None)
    try:
        return _resized(source.name, read, resizes, budget)
    except TooLittleMemoryError:
        return _resized(source.name, read, resizes, budget, alone=True)  # the other threads may have held the memory


def _resized(
    name: str,
    read: Callable[..., np.ndarray],
    resizes: tuple[Resize, ...],
    budget: MemoryBudget,
    *,
    alone: bool = False,
) -> tuple[np.ndarray, ...]:
    held = 0

    def admit(num_pixels: int) -> None:
        nonlocal held
        num_bytes = num_pixels * (BYTES_PER_PIXEL if num_pixels > LARGE_PIXELS else RESIZE_BYTES_PER_PIXEL)
        num_bytes = max(num_bytes, budget.limit) if alone else num_bytes
        budget.ask(next(_turns), num_bytes)
        held = num_bytes

    try:
        with _memory_for(name), torch.inference_mode():
            picture = read(admit=admit)
            resized = [resize_(picture) for resize_ in resizes]  # [3, S, S]
            rounded = [each.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous() for each in resized]
            return tuple(each.numpy() for each in rounded)
    finally:
        budget.give_back(held)


@contextmanager
def _memory_for(name: str) -> Iterator[None]:
    """Turns a failed allocation into a `TooLittleMemoryError` of one picture."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TooLittleMemoryError(f"'{name}'") from None
