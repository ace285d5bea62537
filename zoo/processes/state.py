"""What belongs to the whole process, put back after other people's code ran in it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout, suppress
from functools import partial

# Those with names. As whole numbers: comparing enumerations took most of the time that a plugin's loading costs.
_SIGNALS = tuple(sorted({int(number) for number in signal.valid_signals()} & {int(each) for each in signal.Signals}))
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
    before = {number: signal.getsignal(number) for number in _SIGNALS}
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


class ProcessEndError(BaseException):
    """Code that must not end the process asked for it. No `except Exception` of that code catches this."""


class _Shared:
    """A context that several threads may be in at once: the first one opens it, the last one closes it."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._inside = 0
        self._opened = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._opened.enter_context(self._make())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._opened.close()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Also what is written to descriptor 1 without Python's `sys.stdout`."""
    with redirect_stdout(sys.stderr), ExitStack() as undo:
        with suppress(OSError):  # one of the two is closed
            kept = os.dup(1)
            undo.callback(os.close, kept)
            _flush()
            _flush_c()
            os.dup2(2, 1)
            undo.callback(os.dup2, kept, 1)
            undo.callback(_flush_c)
            undo.callback(_flush)
        yield


def _flush() -> None:
    # ValueError: it is closed. AttributeError: there is none.
    with suppress(OSError, ValueError, AttributeError):
        sys.__stdout__.flush()  # type: ignore[union-attr]


def _flush_c() -> None:
    """Writes what C's stdio holds of a library's `printf`: it would reach descriptor 1 when the process ends."""
    import ctypes  # 3 ms, which `import zoo` need not take

    with suppress(OSError, AttributeError):  # no such library
        (ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("ucrtbase")).fflush(None)


# `inside`: how many contexts of `exit_refused` this thread is in. `kept`: whether it is in one of `process_kept`.
_foreign = threading.local()


@contextmanager
def _exit_replaced() -> Iterator[None]:
    real = {name: getattr(os, name) for name in ("_exit", "abort")}
    process = os.getpid()

    def refuse(name: str, /, *arguments: object, **named: object) -> None:
        # A forked process ends as it should, and so do other threads and later calls of a function that was kept.
        if os.getpid() == process and getattr(_foreign, "inside", 0) > 0:
            raise ProcessEndError(f"os.{name}({', '.join(map(repr, [*arguments, *named.values()]))})")
        real[name](*arguments, **named)

    for name in real:
        setattr(os, name, partial(refuse, name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


_exit_kept = _Shared(_exit_replaced)

# While the context is open, all that the process prints goes to stderr.
stdout_kept = _Shared(_stdout_to_stderr)


@contextmanager
def exit_refused() -> Iterator[None]:
    """Raises `ProcessEndError` where the code inside calls `os._exit` or `os.abort` in this thread and process."""
    with _exit_kept():
        _foreign.inside = getattr(_foreign, "inside", 0) + 1
        try:
            yield
        finally:
            _foreign.inside -= 1


@contextmanager
def process_kept() -> Iterator[None]:
    """All of this module at once, for code of other people. Contexts inside of each other cost nothing."""
    if getattr(_foreign, "kept", False):
        yield
        return
    _foreign.kept = True
    try:
        with stdout_kept(), exit_refused(), handlers_kept(), pillow_kept():
            yield
    finally:
        _foreign.kept = False
