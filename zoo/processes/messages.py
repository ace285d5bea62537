"""Messages between processes: a JSON head, followed by numbers or bytes."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

import numpy as np

LENGTH = struct.Struct("<I")


def send(pipe: IO[bytes], head: dict[str, Any], body: np.ndarray | bytes = b"") -> None:
    """Writes one message. If the body is an array, the head tells its shape and dtype."""
    data: Any = body
    if isinstance(body, np.ndarray):
        head, data = head | {"shape": body.shape, "dtype": body.dtype.str}, np.ascontiguousarray(body).data
    text = json.dumps(head).encode()
    pipe.write(LENGTH.pack(len(text)) + text)
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> dict[str, Any]:
    """Reads the head of the next message. Raises EOFError."""
    (length,) = LENGTH.unpack(exactly(pipe, LENGTH.size))
    head: dict[str, Any] = json.loads(exactly(pipe, length))
    return head


def read_array(pipe: IO[bytes], head: dict[str, Any]) -> np.ndarray | None:
    """Reads the array that follows a head, or returns None if the message has none. Raises EOFError."""
    if head.get("shape") is None:
        return None
    dtype = np.dtype(head["dtype"])
    return np.frombuffer(exactly(pipe, int(np.prod(head["shape"])) * dtype.itemsize), dtype).reshape(head["shape"])


def exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
