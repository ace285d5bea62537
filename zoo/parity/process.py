"""Runs an artifact in its own process. This is the side of the parent; `zoo.parity.worker` is the child.

A message is the length of its head (uint32), the head (JSON), then numbers, all little-endian. Nothing is pickled.
One process serves a whole export: starting it, with the import of its runtime, costs more than most checks.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from zoo.errors import ArtifactError
from zoo.parity.refusal import LateError, RefusedError
from zoo.processes.children import ANSWER_SECONDS, OPENING_SECONDS, Child
from zoo.processes.messages import read_array, receive, send
from zoo.specs import Input, PreprocessSpec

T = TypeVar("T")

# The file as it is, or not rewritten by the runtime, or as a user opens it: with its card and content hash.
Opening = Literal["optimised", "plain", "shipped"]


class Answers(Protocol):
    """A running artifact: pixels uint8 `[n, H, W, 3]`, or files of one size, in; logits float32 `[n, K]` out.

    Raises `RefusedError` if it fails. It may be called again unless its process ended. It opens the file again whenever
    `opened` differs from the last call.
    """

    def __call__(self, images: np.ndarray | list[str], *, opened: Opening = "optimised") -> np.ndarray: ...

    def maps(self, images: np.ndarray) -> np.ndarray:
        """Float32 `[n, K, h, w]`, of a `MappedRuntime`."""
        ...


class EndedError(Exception):
    """The process of an artifact has ended.

    Attributes:
        late: what it did not do in time (`gave no answer`) and the limit in seconds; None if it ended by itself.
        code: of the error that names it.
    """

    def __init__(self, reason: str, *, code: str, late: tuple[str, float] | None = None) -> None:
        super().__init__(reason)
        self.code, self.late = code, late


class AnswerError(Exception):
    """The runtime raised an error; it may be called again."""


class Process(Child):
    """A process with one artifact, for one thread at a time.

    Args:
        spec: what `zoo.artifacts.predictor.open_runtime` needs. None: every opening is `shipped`.
        time_limit: seconds for each answer.
        opening_limit: seconds for starting the process and opening the file.
    """

    def __init__(
        self,
        path: Path,
        spec: PreprocessSpec | None = None,
        takes: Input = "pixels",
        device: str = "cpu",
        *,
        time_limit: float,
        opening_limit: float,
    ) -> None:
        how = {"spec": spec and dataclasses.asdict(spec), "input": takes, "device": device}
        super().__init__("zoo.parity.worker", path, json.dumps(how))
        self._time_limit, self._opening_limit = time_limit, opening_limit
        self._opened: Opening | None = None

    def open(self, opened: Opening = "optimised") -> None:
        """Opens the file in this way. Raises `ArtifactError` with the message of the process, or `EndedError`."""
        if self._opened == opened:
            return

        def talk() -> list[str] | None:
            send(self.stdin, {"open": opened})
            refused: list[str] | None = receive(self.stdout)["refused"]
            return refused

        refused = self._talk("did not open", self._opening_limit, talk)
        if refused:
            cause, remedy, code = refused
            raise ArtifactError(cause, remedy, code=code)
        self._opened = opened

    def ask(
        self, head: dict[str, Any], values: np.ndarray | bytes = b"", *, opened: Opening = "optimised"
    ) -> np.ndarray:
        """Sends one message; returns the numbers of the answer, float32.

        Raises:
            ArtifactError: it could not open the file.
            AnswerError: the runtime raised an error.
            EndedError: the process has ended, or was ended at its time limit.
        """
        self.open(opened)

        def talk() -> np.ndarray | str:
            send(self.stdin, head, values)
            answer = receive(self.stdout)
            if "error" in answer:
                return str(answer["error"])
            logits = read_array(self.stdout, answer)
            assert logits is not None
            return logits

        answer = self._talk("gave no answer", self._time_limit, talk)
        if isinstance(answer, str):
            raise AnswerError(answer)
        return answer

    def _talk(self, what: str, seconds: float, talk: Callable[[], T]) -> T:
        try:
            with self.within(seconds):
                return talk()
        except (EOFError, OSError):
            pass
        except BaseException:  # an interrupt: the next answer would start with the rest of this one
            self.kill()
            raise
        code, said = self.last_words()
        if self.late:
            raise EndedError(f"it {what} within {seconds:g} seconds", code="late", late=(what, seconds))
        if code < 0:
            raise EndedError(f"the runtime crashed on it (signal {-code})", code="runtime-crashed")
        ended = f"its process failed: {said}" if said else f"its process ended with code {code}"
        raise EndedError(ended, code="process-ended")


@contextmanager
def fresh_process(
    path: Path,
    spec: PreprocessSpec | None = None,
    takes: Input = "pixels",
    device: str = "cpu",
    *,
    time_limit: float = ANSWER_SECONDS,
) -> Iterator[Answers]:
    """Runs an artifact in another process.

    Args:
        spec, takes, device: see `Process`.
        time_limit: seconds for each answer. The limit for opening the file is at least `OPENING_SECONDS`.
    """
    opening = max(time_limit, OPENING_SECONDS)
    process = Process(path, spec, takes, device, time_limit=time_limit, opening_limit=opening)
    try:
        yield _Refusing(process)
    except BaseException:
        process.kill()
        raise
    finally:
        process.close()


class _Refusing:
    def __init__(self, child: Process) -> None:
        self._child, self.process = child, child.process

    def __call__(self, images: np.ndarray | list[str], *, opened: Opening = "optimised") -> np.ndarray:
        if isinstance(images, list):
            return self._asked({"files": images}, images, opened)
        return self._asked({}, images, opened)

    def maps(self, images: np.ndarray) -> np.ndarray:
        return self._asked({"maps": True}, images, "optimised")

    def _asked(self, head: dict[str, Any], images: np.ndarray | list[str], opened: Opening) -> np.ndarray:
        try:
            return self._child.ask(head, b"" if isinstance(images, list) else images, opened=opened)
        except ArtifactError as error:
            raise RefusedError(str(error), code=error.code) from None
        except AnswerError as error:
            raise RefusedError(f"it fails on {_described(images)}: {error}", code="runtime-failed") from None
        except EndedError as error:
            if error.late:
                raise LateError(*error.late) from None
            raise RefusedError(str(error), code=error.code) from None


def _described(pictures: np.ndarray | list[str]) -> str:
    if isinstance(pictures, list):
        return "picture files"
    number, height, width, _ = pictures.shape
    return f"pictures of {width} x {height} in batches of {number}"
