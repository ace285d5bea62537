"""Child processes. Each of them ends when the process that started it ends, for whatever reason.

`Child` starts a process, which first calls `guard`. The time limits for its answers are also here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING

from zoo.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

ANSWER_SECONDS = 300.0  # for the answer of an exported file to one batch
OPENING_SECONDS = 60.0  # at least, for starting its process and opening it
ENDING_SECONDS = 5.0  # for a process that has no more to do

_PARENT = "ZOO_PARENT"  # the number of the process that started this one
_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_WATCH_SECONDS = 0.5


def more_time(seconds: float) -> str:
    """The remedy for an answer that took longer than `seconds`."""
    return f"If it is only slow, give it more time, for example: --time-limit {2 * seconds:g}"


def check_time_limit(seconds: object) -> None:
    """Raises `UsageError` where `seconds` is not a number above 0."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        raise UsageError(
            f"The option time_limit cannot be {seconds!r}.", "Give a number of seconds above 0.", code="time-limit"
        )


def guard() -> None:
    """Ends this process together with its parent, if the parent is a process of this project."""
    parent = os.environ.pop(_PARENT, None)
    if parent is None or sys.platform == "win32":  # there, a parent's number says nothing
        return
    if not _ended_by_linux():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()
    if os.getppid() != int(parent):  # it ended before the line above
        os._exit(1)


def limit_memory(num_bytes: int | None = None) -> None:
    """Limits the memory of this process, by default to four fifths of the machine's memory. Works on Linux only.

    If an untrusted program needs more, only this process fails, and not the other processes of the machine.
    """
    if sys.platform != "linux":
        return
    import resource

    most = num_bytes or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 4 // 5
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


@contextmanager
def announced() -> Iterator[None]:
    """While the context is open, processes that other code starts also end with this one, if they call `guard`."""
    os.environ[_PARENT] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(_PARENT, None)


def _ended_by_linux() -> bool:
    """Asks the kernel to kill this process with its parent. That works even while a runtime holds the GIL."""
    if sys.platform != "linux":
        return False
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    except (OSError, AttributeError):  # a C library without it
        return False


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


class Child:
    """A process that runs a Python module, reads `stdin` and answers on `stdout`.

    Args:
        module: name of the module, which must call `guard` first.
        environment: additional environment variables.

    Attributes:
        late: whether it was killed because an answer took too long.
    """

    def __init__(self, module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> None:
        # -P: a file in the working folder must not replace a module.
        command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
        variables = {**os.environ, **(environment or {}), _PARENT: str(os.getpid())}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (`close` does)
        self.process = _start(command, variables, self._errors)
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kills the process if the context is still open after that time. A reader then finds the end of its output."""
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self.late = True
        self.process.kill()

    def last_words(self) -> tuple[int, str]:
        """Waits for its end. Returns the exit code and the last line of stderr."""
        code = self._wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return code, said[-1] if said else ""

    def kill(self) -> None:
        self.process.kill()

    def close(self) -> None:
        """Closes `stdin`, so that the process ends, and kills it if that takes too long."""
        with suppress(OSError):  # a process that failed reads no more
            self.stdin.close()
        self.stdout.close()
        self._wait()
        self._errors.close()

    def _wait(self) -> int:
        try:
            return self.process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()


def _start(command: list[str], variables: dict[str, str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    def start() -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=variables)  # noqa: S603

    if threading.current_thread() is threading.main_thread():
        return start()
    # Linux ends a child with the thread that started it, and threads of a server come and go.
    return _starter().submit(start).result()


@cache
def _starter() -> Executor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1)
