"""Limits what Gradio keeps for its visitors until they fetch it.

Gradio keeps answers that nobody fetches. After two thousand more visitors it forgets those who still wait, and then its
queue stops for ever. Here, visitors who wait are never forgotten, and visitors who do not return are. All of this runs
in the event loop of the server, so nothing interrupts it.
"""

from __future__ import annotations

import time
from typing import Any

from zoo_demo.limits import ANSWER_SECONDS, MAX_ANSWERS

SWEEP_SECONDS = 5.0


class Sessions:
    """The visitors of a queue.

    Args:
        queue: Gradio's queue of a page that is not served yet.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._last_busy: dict[str, float] = {}
        self._swept = 0.0
        queue.pending_messages_per_session = {}
        send = queue.send_message

        def send_if_known(event: Any, message: Any) -> None:
            if event.session_hash in queue.pending_messages_per_session:
                send(event, message)

        queue.send_message = send_if_known

    def count(self, session: str) -> int:
        """How many pictures and answers of a visitor are waiting."""
        return len(self._queue.pending_event_ids_session.get(session, ()))

    def make_room(self) -> bool:
        """Forgets the oldest answers that nobody fetched until there is room for one more. Returns whether there is."""
        now = time.monotonic()
        if now - self._swept > SWEEP_SECONDS:
            self._sweep(now)
        ids = self._queue.pending_event_ids_session
        total = sum(map(len, ids.values()))
        if total < MAX_ANSWERS:
            return True
        for session in [*ids.keys() - self._busy()]:
            total -= len(ids.get(session, ()))
            self._forget(session)
            if total < MAX_ANSWERS:
                return True
        return False

    def _sweep(self, now: float) -> None:
        busy, self._swept = self._busy(), now
        known = {*self._queue.pending_messages_per_session, *self._queue.pending_event_ids_session}
        self._last_busy = {one: now if one in busy else self._last_busy.get(one, now) for one in known}
        for session in [one for one, last in self._last_busy.items() if now - last > ANSWER_SECONDS]:
            self._forget(session)

    def _busy(self) -> set[str]:
        """The visitors with a waiting or running picture."""
        return {event.session_hash for event in self._queue.event_ids_to_events.values()}

    def _forget(self, session: str) -> None:
        self._queue.pending_messages_per_session.pop(session, None)
        self._queue.pending_event_ids_session.pop(session, None)
        self._last_busy.pop(session, None)
