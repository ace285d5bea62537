"""Decodes pictures or takes them from the cache, and keeps them in memory, in a mapped file, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from zoo.data import cache as pixel_cache
from zoo.data.cache_store import Writer, load, read
from zoo.data.pixels import Decoded, DecodeRequest
from zoo.data.prefetch import in_order
from zoo.data.sources import Source
from zoo.data.workers import Resize, read_resized, start_workers
from zoo.errors import UnreadablePictureError, reason_of
from zoo.images.values import Range, ValueLog
from zoo.processes.memory import give_back_freed_memory
from zoo.progress import Reporter, size_in_words

Resized = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits in bytes: for decoded pictures in memory, and for all stores together on the disk."""

    memory: int
    disk: int


class Memory:
    """Rows in memory."""

    def __init__(self, request: DecodeRequest) -> None:
        sides = [spec.image_size for spec in request.specs]
        self.arrays = [np.empty((len(request.sources), side, side, 3), np.uint8) for side in sides]
        self.count = 0

    def add(self, rows: Resized) -> None:
        """Adds one picture in each size."""
        for array, row in zip(self.arrays, rows, strict=True):
            array[self.count] = row
        self.count += 1

    def filled(self) -> Resized:
        """The pictures that were added so far."""
        return tuple(array[: self.count] for array in self.arrays)


def decode_wanted(request: DecodeRequest, budgets: Budgets, reporter: Reporter) -> Decoded:
    """Takes pixels from the cache or decodes them now. Prints a line that says where they are, and why."""
    fits = request.num_bytes <= budgets.memory
    found = read(request, in_memory=fits) if request.lasting else None
    kept, reason = "from the cache", ""
    if not request.lasting:
        reason = "they come from a dataset in Python"
    elif found is None and request.num_bytes > budgets.disk:
        reason = (
            f"they need {size_in_words(request.num_bytes)}, more than --disk-budget ({size_in_words(budgets.disk)})"
        )
    elif found is None:
        try:
            with pixel_cache.locked(request.key, partial(_say_waiting, reporter)):
                found = read(request, in_memory=fits)
                if found is None:
                    kept = "kept for other runs"
                    found, reason = _decode_into_cache(request, budgets, reporter, fits=fits)
        except OSError as error:
            reason = _unwritable(error)
    if found is None:
        found = _decode_into_memory(request, reporter) if fits else _decode_for_streams(request, reporter)
    if not found.arrays:
        reporter.say(f"Decoded pictures: streamed, decoded again in each epoch: {reason}.")
        return found
    place = "in memory" if fits else "memory-mapped"
    kept = f"not kept for other runs: {reason}" if reason else kept
    reporter.say(f"Decoded pictures: {size_in_words(request.num_bytes)} {place}, {kept}.")
    return found


def _decode_for_streams(request: DecodeRequest, reporter: Reporter) -> Decoded:
    values = ValueLog()
    return Decoded((), _decode(request, [], values, reporter), values)


def _decode_into_memory(request: DecodeRequest, reporter: Reporter) -> Decoded:
    memory, values = Memory(request), ValueLog()
    unreadable = _decode(request, [memory.add], values, reporter)
    return Decoded(memory.filled(), unreadable, values)


def _decode_into_cache(
    request: DecodeRequest, budgets: Budgets, reporter: Reporter, *, fits: bool
) -> tuple[Decoded, str]:
    """Decodes under the lock of the store. Returns the pixels, and the reason if they are not kept."""
    pixel_cache.make_room(request.num_bytes, budgets.disk, key=request.key)
    writer, memory = Writer(request), Memory(request) if fits else None
    attempt = Attempt(writer.discard)
    arrays: Resized = ()
    values = ValueLog()
    sinks: list[Callable[[Resized], None]] = [partial(attempt, writer.add), *([memory.add] if memory else [])]
    try:
        unreadable = _decode(request, sinks, values, reporter)
        attempt(writer.finish, unreadable, values)
        unchanged = request.is_unchanged()
        if unchanged:
            attempt(writer.publish)
        if memory:
            arrays = memory.filled()
        elif not attempt.failure:
            arrays = load(writer.path, request, in_memory=False)
    finally:
        writer.discard()
    reason = "" if unchanged else "some of them changed while they were decoded"
    return Decoded(arrays, unreadable, values), _unwritable(attempt.failure) if attempt.failure else reason


class Attempt:
    """Runs steps until one of them raises an `OSError`. It keeps that error, and ignores later steps.

    Args:
        give_up: called after the error.
    """

    def __init__(self, give_up: Callable[[], None]) -> None:
        self.give_up = give_up
        self.failure: OSError | None = None

    def __call__(self, step: Callable[..., None], *arguments: object) -> None:
        if self.failure:
            return
        try:
            step(*arguments)
        except OSError as error:
            self.failure = error
            self.give_up()


def _decode(
    request: DecodeRequest, sinks: Sequence[Callable[[Resized], None]], values: ValueLog, reporter: Reporter
) -> dict[int, str]:
    """Decodes every picture once and gives it to all sinks. Returns a sentence per unreadable picture, by index."""
    resizes = tuple(Resize(spec) for spec in request.specs) if sinks else ()
    read_one = partial(_try_reading, resizes, request.specs[0].pixel_range, values)
    unreadable: dict[int, str] = {}
    with start_workers() as pool, reporter.bar("Decoding", len(request.sources)) as advance:
        for index, rows in enumerate(in_order(pool, read_one, request.sources)):
            if isinstance(rows, UnreadablePictureError):
                unreadable[index] = rows.cause
            else:
                for add in sinks:
                    add(rows)
            advance(1)
    give_back_freed_memory()
    return unreadable


def _try_reading(
    resizes: tuple[Resize, ...], pixel_range: Range | None, log: ValueLog, source: Source
) -> Resized | UnreadablePictureError:
    try:
        return read_resized(source, resizes, pixel_range=pixel_range, log=log)
    except UnreadablePictureError as error:
        return error


def _say_waiting(reporter: Reporter) -> None:
    reporter.say(f"Waiting for another process that decodes the same pictures into {pixel_cache.folder()}.")


def _unwritable(error: OSError) -> str:
    return f"{pixel_cache.folder()} cannot be written ({reason_of(error)})"
