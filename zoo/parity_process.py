"""An artifact in a process of its own, which imports what the artifact needs and nothing else.

`python -m zoo.parity_process PATH content|whole` reads batches from stdin and writes logits to stdout, as
little-endian numbers: the shape (uint32 each), then the values. Nothing is pickled.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from zoo.errors import ParityError, ZooError
from zoo.specs import LoadOptions, Runtime

_IMAGES = struct.Struct("<4I")
_LOGITS = struct.Struct("<2I")


@contextmanager
def fresh_process(path: Path, *, whole: bool) -> Iterator[Runtime]:
    """Runs an artifact elsewhere, as a function from uint8 `[n, H, W, 3]` to float32 `[n, K]`.

    The function raises `ParityError` where the process fails.

    Args:
        whole: open the file as a user does, card and content hash included.
    """
    # -P: a file in the working folder must not stand in for a module.
    command = [sys.executable, "-P", "-m", "zoo.parity_process", str(path), "whole" if whole else "content"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603  (this interpreter, this module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            yield partial(_ask, process, errors)
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(OSError):  # a process that failed reads no more
                process.communicate()


def _ask(process: subprocess.Popen[bytes], errors: IO[bytes], images: np.ndarray) -> np.ndarray:
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(_IMAGES.pack(*images.shape))
        process.stdin.write(np.ascontiguousarray(images).data)
        process.stdin.flush()
        shape = _LOGITS.unpack(_exactly(process.stdout, _LOGITS.size))
        values = _exactly(process.stdout, 4 * shape[0] * shape[1])
    except (EOFError, OSError):
        code = process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"its process ended with code {code}."
        raise ParityError(
            f"The artifact fails on pictures of {images.shape[2]} x {images.shape[1]}: {reason}",
            "Nothing was kept; try another format.",
        ) from None
    return np.frombuffer(values, "<f4").reshape(shape)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _runtime(path: Path, mode: str) -> Runtime:
    if mode == "whole":
        from zoo.artifact import load

        return load(path).runtime
    from zoo.registry import registry

    return registry().exporter_for(path).spec.load(path, LoadOptions())


def _serve(path: Path, mode: str) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a runtime prints must not get between the numbers
    runtime = _runtime(path, mode)
    while head := sys.stdin.buffer.read(_IMAGES.size):
        shape = _IMAGES.unpack(head)
        pixels = _exactly(sys.stdin.buffer, shape[0] * shape[1] * shape[2] * shape[3])
        logits = runtime(np.frombuffer(pixels, np.uint8).reshape(shape)).astype("<f4")
        answers.write(_LOGITS.pack(*logits.shape))
        answers.write(np.ascontiguousarray(logits).data)
        answers.flush()


if __name__ == "__main__":
    try:
        _serve(Path(sys.argv[1]), sys.argv[2])
    except ZooError as error:
        sys.exit(str(error))
