"""Limits the memory of pictures that threads decode ahead."""

from __future__ import annotations

import math
import threading

# Two pictures of 20 megapixels at once, or a hundred of half a megapixel.
DECODE_BUDGET = 320 * 2**20


class MemoryBudget:
    """Bytes that numbered tasks share. The results of the tasks are taken in the order of their numbers.

    A task waits until enough bytes are free and no earlier task waits. A task that needs more than the limit waits
    until no other task holds bytes. The task whose result is taken next must not wait, because the others free nothing
    before it is done. It is refused, and the thread that takes the results does its work beyond the limit. So the
    threads hold at most the limit, or a single picture, and the taker one more picture.

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
        """Waits until the bytes are free, and takes them. Returns False if the task is refused."""
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
        """Takes bytes without a wait, also beyond the limit."""
        with self._changed:
            self._used += num_bytes

    def give_back(self, num_bytes: int) -> None:
        with self._changed:
            self._used -= num_bytes
            if self._waiting:
                self._changed.notify_all()

    def expect(self, task: int) -> None:
        """Sets the task whose result is taken next."""
        with self._changed:
            self._next = task
            if self._waiting:
                self._changed.notify_all()

    def close(self) -> None:
        """Refuses all tasks from now on, because no more results are taken."""
        with self._changed:
            self._next = math.inf
            self._changed.notify_all()

    def _fits(self, num_bytes: int) -> bool:
        return self._used == 0 or self._used + num_bytes <= self.limit

    def _is_turn_of(self, task: int, num_bytes: int) -> bool:
        return task == min(self._waiting) and self._fits(num_bytes)
