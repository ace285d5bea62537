"""What belongs to the whole process, put back after other people's code ran in it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Pillow's global settings, and what they are when Pillow is first imported.
_PILLOW = (
    ("PIL.Image", "MAX_IMAGE_PIXELS", 1024**3 // 4 // 3),
    ("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES", False),
)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Puts signal handlers back that the code inside sets. Only the main thread can set any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: a handler that was not set from Python cannot be set again.
            if handler is not None and signal.getsignal(number) is not handler:
                with suppress(OSError, ValueError):
                    signal.signal(number, handler)


@contextmanager
def pillow_kept() -> Iterator[None]:
    """Puts Pillow's global settings back that the code inside changes; it imports Pillow for nobody."""
    before = [getattr(sys.modules[module], name) if module in sys.modules else value for module, name, value in _PILLOW]
    try:
        yield
    finally:
        for (module, name, _), value in zip(_PILLOW, before, strict=True):
            if module in sys.modules:
                setattr(sys.modules[module], name, value)
