"""How much memory pictures may take while threads decode ahead of whoever takes them."""

from __future__ import annotations

import math
import threading

# Two pictures of 20 megapixels at once, or a hundred of half a megapixel.
DECODE_BUDGET = 320 * 2**20


class MemoryBudget:
    """Bytes that numbered tasks share; results of the tasks are taken in the order of their numbers.

    A task waits until there is enough for it, and until no task before it waits. A task that asks for more than the
    limit waits until it is alone. The task whose result is taken next must not wait: the others give nothing back
    before it is done. It is refused instead, and whoever takes the results does its work, beyond the limit. Threads
    so hold at most the limit, or a single picture, and the taker one picture more.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._next: float = -1  # the task whose result is taken next
        self._waiting: set[int] = set()
        self._changed = threading.Condition()

    @property
    def is_full(self) -> bool:
        return self._used >= self.limit

    def ask(self, task: int, num_bytes: int) -> bool:
        """Waits until the bytes are there, and takes them; False where the task must leave the work undone."""
        with self._changed:
            if self._waiting or not self._fits(num_bytes):
                self._waiting.add(task)
                self._changed.wait_for(lambda: self._next >= task or self._is_turn_of(task, num_bytes))
                self._waiting.remove(task)
                self._changed.notify_all()
            allowed = self._fits(num_bytes) and self._next < math.inf
            self._used += num_bytes if allowed else 0
            return allowed

    def take(self, num_bytes: int) -> None:
        """Takes bytes beyond the limit."""
        with self._changed:
            self._used += num_bytes

    def give_back(self, num_bytes: int) -> None:
        with self._changed:
            self._used -= num_bytes
            if self._waiting:
                self._changed.notify_all()

    def expect(self, task: int) -> None:
        """Says which task's result is taken next."""
        with self._changed:
            self._next = task
            if self._waiting:
                self._changed.notify_all()

    def close(self) -> None:
        """Refuses everything from now on: nobody takes results any more."""
        with self._changed:
            self._next = math.inf
            self._changed.notify_all()

    def _fits(self, num_bytes: int) -> bool:
        return self._used == 0 or self._used + num_bytes <= self.limit

    def _is_turn_of(self, task: int, num_bytes: int) -> bool:
        return task == min(self._waiting) and self._fits(num_bytes)
