"""Reads pictures in threads that share a memory budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.memory_budget import MemoryBudget
from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images.bands import BYTES_PER_PIXEL
from zoo.images.read import Admit, PostponedError

# A picture, uint8 [H, W, 3], or a function that decodes one and first calls its argument with the number of pixels.
Source = Callable[[Admit], np.ndarray] | np.ndarray
# Smaller pictures are not counted: a lock for each would cost more than it saves. Together they hold at most 15 MB.
UNCOUNTED_PIXELS = 2**14
Found = np.ndarray | UnreadablePictureError


@dataclass(slots=True)
class Reading:
    """One picture that is read ahead.

    Attributes:
        found: the picture or its error. None where the taker must decode it.
        held: bytes of the budget that it holds.
    """

    source: Source
    found: Found | None = None
    held: int = 0


class Reader:
    """Reads pictures ahead in threads, for another thread that takes them.

    Args:
        budget: limits the memory of the pictures until they are taken.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget

    def counted(self, tasks: Iterable[Sequence[Source]]) -> Iterator[list[Reading]]:
        """Yields the tasks. Pictures that are already decoded count at once."""
        for sources in tasks:
            task = [Reading(each, held=each.nbytes if isinstance(each, np.ndarray) else 0) for each in sources]
            self.budget.take(sum(reading.held for reading in task))
            yield task

    def read_ahead(self, numbered: tuple[int, list[Reading]]) -> list[Reading]:
        """Reads the pictures of one task. Takes the number of the task too."""
        number, task = numbered
        for reading in task:
            if isinstance(reading.source, np.ndarray):
                reading.found = reading.source
            else:
                self._decode(number, reading, reading.source)
        return task

    def take(self, reading: Reading) -> Found:
        """Returns the picture or its error, and decodes it now if necessary. Frees its share of the budget."""
        found, reading.found = reading.found, None
        if found is None:
            found = self._decode_now(reading)
        if reading.held:
            self.budget.give_back(reading.held)
        return found

    def _decode(self, number: int, reading: Reading, source: Callable[[Admit], np.ndarray]) -> None:
        def admit(num_pixels: int) -> None:
            if num_pixels <= UNCOUNTED_PIXELS:
                return
            if not self.budget.ask(number, BYTES_PER_PIXEL * num_pixels):
                raise PostponedError
            reading.held = BYTES_PER_PIXEL * num_pixels

        kept = 0
        try:
            reading.found = picture = source(admit)
            kept = min(picture.nbytes, reading.held)
        except (PostponedError, TooLittleMemoryError):
            pass  # the others may hold the memory that it needs
        except UnreadablePictureError as error:
            reading.found = error
        finally:
            if reading.held:
                self.budget.give_back(reading.held - kept)
                reading.held = kept

    def _decode_now(self, reading: Reading) -> Found:
        assert not isinstance(reading.source, np.ndarray)

        def admit(num_pixels: int) -> None:
            reading.held = BYTES_PER_PIXEL * num_pixels
            self.budget.take(reading.held)

        try:
            return reading.source(admit)
        except UnreadablePictureError as error:
            return error
