"""How a thread reads pictures whose memory is shared with those that other threads read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.memory_budget import MemoryBudget
from zoo.errors import TooLittleMemoryError, UnreadablePictureError
from zoo.images.bands import BYTES_PER_PIXEL
from zoo.images.read import Admit, PostponedError

# What decodes a picture, calling its argument with the number of pixels before it does; or a picture, uint8 [H, W, 3].
Source = Callable[[Admit], np.ndarray] | np.ndarray
# So small that a lock for each would cost more than it saves: all that are ahead at a time hold 15 MB.
UNCOUNTED_PIXELS = 2**14
Found = np.ndarray | UnreadablePictureError


@dataclass(slots=True)
class Reading:
    """One picture that is read ahead.

    Attributes:
        found: the picture or its error; None where it is left to whoever takes it.
        held: bytes of the budget.
    """

    source: Source
    found: Found | None = None
    held: int = 0


class Reader:
    """Reads pictures ahead in threads, and hands them over in another.

    Args:
        budget: what the pictures may hold until they are taken.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget = budget

    def counted(self, tasks: Iterable[Sequence[Source]]) -> Iterator[list[Reading]]:
        """Tasks as they come; pictures that are decoded already count at once."""
        for sources in tasks:
            task = [Reading(each, held=each.nbytes if isinstance(each, np.ndarray) else 0) for each in sources]
            self.budget.take(sum(reading.held for reading in task))
            yield task

    def read_ahead(self, numbered: tuple[int, list[Reading]]) -> list[Reading]:
        """Reads what one thread reads at a time, with its number among all tasks."""
        number, task = numbered
        for reading in task:
            if isinstance(reading.source, np.ndarray):
                reading.found = reading.source
            else:
                self._decode(number, reading, reading.source)
        return task

    def take(self, reading: Reading) -> Found:
        """What was found, or what is found now. It holds nothing of the budget any longer."""
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
