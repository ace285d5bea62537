"""The time that a training may take."""

from __future__ import annotations

import math
import time

from zoo.training.distributed import World


class TimeBudget:
    """A deadline that all processes of a training agree on.

    Args:
        seconds: that the training may take, None for no end.
        spent: seconds of them that are gone already.

    Attributes:
        limited: whether there is an end.
    """

    def __init__(self, seconds: float | None, world: World, spent: float = 0.0) -> None:
        self.world, self.limited = world, seconds is not None
        self._started = time.perf_counter() - spent
        self._end = self._started + (math.inf if seconds is None else seconds)

    @property
    def spent(self) -> float:
        """Seconds since the training began."""
        return time.perf_counter() - self._started

    def late(self, seconds: float = 0.0) -> bool:
        """Whether it ends within so many seconds."""
        return self.limited and self.world.broadcast(time.perf_counter() + seconds >= self._end)

    def close(self) -> None:
        """Ends it now."""
        self._end = time.perf_counter()

    def steps_left(self, taken: int, begun: float) -> int:
        """How many steps fit into what is left, at the pace of those `taken` since `begun` (`time.perf_counter`)."""
        now = time.perf_counter()
        return self.world.broadcast(int((self._end - now) * taken / (now - begun)))
