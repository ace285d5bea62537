"""An artifact in a process of its own: this side of the pipe; `zoo.parity.worker` is the other.

A message is the length of its head (uint32), the head (JSON), then numbers, all little-endian. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from zoo.parity.refusal import RefusedError
from zoo.specs import Input, PreprocessSpec

LENGTH = struct.Struct("<I")


class Answers(Protocol):
    """A running artifact: pixels uint8 `[n, H, W, 3]`, or files of one size, in; logits float32 `[n, K]` out.

    Raises `RefusedError` where it fails; it may be asked again unless its process died.
    """

    def __call__(self, pictures: np.ndarray | list[str], *, optimised: bool = True) -> np.ndarray: ...


@contextmanager
def fresh_process(
    path: Path, spec: PreprocessSpec | None = None, takes: Input = "pixels", device: str = "cpu"
) -> Iterator[Answers]:
    """Runs an artifact elsewhere.

    Args:
        spec: what `zoo.artifact.open_runtime` needs to know; None opens the file as a user does, by its card,
            content hash included.
    """
    how = json.dumps({"spec": spec and dataclasses.asdict(spec), "input": takes, "device": device})
    # -P: a file in the working folder must not stand in for a module.
    command = [sys.executable, "-P", "-m", "zoo.parity.worker", str(path), how]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603  (this interpreter, this module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            yield _Process(process, errors)
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(OSError):  # a process that failed reads no more
                process.communicate()


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.process = process
        self._errors = errors

    def __call__(self, pictures: np.ndarray | list[str], *, optimised: bool = True) -> np.ndarray:
        assert self.process.stdin
        assert self.process.stdout
        if isinstance(pictures, list):
            head: dict[str, Any] = {"files": pictures}
            body: Any = b""
        else:
            head, body = {"shape": pictures.shape}, np.ascontiguousarray(pictures).data
        try:
            send(self.process.stdin, head | {"optimised": optimised}, body)
            answer = receive(self.process.stdout)
            if "error" in answer:
                raise RefusedError(f"it fails on {_described(pictures)}: {answer['error']}")
            return read_array(self.process.stdout, answer["shape"], "<f4")
        except (EOFError, OSError):
            raise RefusedError(f"its process failed: {self._last_words()}") from None

    def _last_words(self) -> str:
        code = self.process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        if code < 0:
            return f"the runtime crashed on it (signal {-code})."
        return said[-1] if said else f"its process ended with code {code}."


def send(pipe: IO[bytes], head: dict[str, Any], body: Any = b"") -> None:
    """Writes one message."""
    text = json.dumps(head).encode()
    pipe.write(LENGTH.pack(len(text)) + text)
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> dict[str, Any]:
    """The head of the next message. Raises EOFError."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    head: dict[str, Any] = json.loads(_exactly(pipe, length))
    return head


def read_array(pipe: IO[bytes], shape: list[int], dtype: str) -> np.ndarray:
    """The numbers behind a head. Raises EOFError."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(_exactly(pipe, size), dtype).reshape(shape)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _described(pictures: np.ndarray | list[str]) -> str:
    if isinstance(pictures, list):
        return "picture files"
    number, height, width, _ = pictures.shape
    return f"pictures of {width} x {height} in batches of {number}"
