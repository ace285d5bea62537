"""A process that runs other people's code. Whatever that code prints, starts or ends, the answers so far arrive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from zoo.processes.children import announced, guard

Answer = dict[str, Any]
POLL_SECONDS = 0.02
_SHOWN = 200  # characters of its last line


class Supervised:
    """A process that answers with lines of JSON in a file. `supervised` starts it."""

    def __init__(self, process: subprocess.Popen[bytes], answers: Path, errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors
        self._answers = answers.open("rb")
        self._line = b""

    def next(self, seconds: float) -> Answer | None:
        """The next answer, or None where the process has ended. Raises `TimeoutError` if neither happens in time."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self._process.poll() is not None  # before the last look into the file
            self._line += self._answers.readline()
            if self._line.endswith(b"\n"):
                line, self._line = self._line, b""
                answer: Answer = json.loads(line)
                return answer
            if ended:
                return None
            if time.monotonic() >= deadline:
                raise TimeoutError
            time.sleep(POLL_SECONDS)

    def how_it_ended(self) -> str:
        """A sentence about the end of the process, and the last line that it wrote to stderr."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        last = f" Its last line: {lines[-1].strip()[:_SHOWN]}" if lines else ""
        if code < 0:
            with suppress(ValueError):
                return f"It ended the process with the signal {signal.Signals(-code).name}.{last}"
        return f"It ended the process with exit code {code}.{last}"

    def close(self) -> None:
        """Ends the process and all that it has started."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._answers.close()


@contextmanager
def supervised(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Supervised]:
    """Starts a module that calls `answering`, with more arguments. It ends with the context.

    Args:
        environment: additional environment variables.
    """
    with (
        tempfile.TemporaryDirectory(prefix="zoo-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as errors,
    ):
        answers = Path(folder) / "answers"
        answers.touch()
        # -P: a file in the working folder must not replace a module.
        command = [sys.executable, "-P", "-m", module, str(answers), *arguments]
        with announced():
            process = subprocess.Popen(  # noqa: S603  (this interpreter and a module of visionzoo)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, **(environment or {})},
                start_new_session=os.name == "posix",
            )
        running = Supervised(process, answers, errors)
        try:
            yield running
        finally:
            running.close()


def answering() -> tuple[Callable[[Answer], None], list[str]]:
    """For the module that `supervised` starts: a function that sends an answer, and the arguments."""
    guard()
    _, path, *arguments = sys.argv
    file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115  (until the process ends)

    me = os.getpid()

    def send(answer: Answer) -> None:
        if os.getpid() != me:  # other people's code has forked, and returns twice
            return
        file.write(json.dumps(answer) + "\n")
        file.flush()

    return send, arguments
