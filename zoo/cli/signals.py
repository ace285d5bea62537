"""How Ctrl-C and SIGTERM end a command: at once, with what it printed, and with the terminal as it was."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo.cli.console import warn

_ENDING = (signal.SIG_DFL, signal.default_int_handler)


@contextmanager
def ending() -> Iterator[Callable[[], None]]:
    """Lets Ctrl-C and SIGTERM raise SystemExit; gives a function that raises it if they came and it went no further.

    What is raised in the midst of a callback or an import, libraries may swallow: one Ctrl-C of eight did nothing.
    """
    came: list[int] = []

    def heed() -> None:
        if came:
            sys.exit(128 + came[0])

    def end(number: int, _: object) -> None:
        came.append(number)
        heed()

    # Python takes handlers from the main thread alone; those that somebody else has set stay.
    here = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if here else ()
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in _ENDING}
    for number in before:
        signal.signal(number, end)
    try:
        yield heed
    except SystemExit:
        if came:
            warn("Interrupted.")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
