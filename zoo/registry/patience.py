"""Names the plugin that everything waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from zoo.progress import Reporter
from zoo.registry.discovery import Plugin

PATIENCE_SECONDS = 10.0  # of an import, before the user hears about it


class Patience:
    """Says after some seconds which plugin all others wait for, and how to leave it out.

    One thread watches all imports and ends when there are none: to start one for each took a millisecond.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._importing: dict[int, tuple[Plugin, float]] = {}
        self._watching = False

    @contextmanager
    def watch(self, plugin: Plugin) -> Iterator[None]:
        """While the context is open, the plugin is being imported by this thread."""
        me = threading.get_ident()
        with self._lock:
            outer = self._importing.get(me)
            self._importing[me] = (plugin, time.monotonic())
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._importing[me]
                if outer:
                    self._importing[me] = outer

    def _watch(self) -> None:
        said: set[Plugin] = set()
        while True:
            time.sleep(PATIENCE_SECONDS / 4)
            with self._lock:
                now, importing = time.monotonic(), list(self._importing.values())
                if not importing:
                    self._watching = False
                    return
            for plugin, begun in importing:
                if now - begun > PATIENCE_SECONDS and plugin not in said:
                    said.add(plugin)
                    remedy = f"To leave it out: Ctrl-C, then zoo plugins disable {plugin.distribution}"
                    Reporter().warn(f"Importing the plugin '{plugin.key}' takes long. {remedy}")


PATIENCE = Patience()
