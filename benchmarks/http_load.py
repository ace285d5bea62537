"""Clients of an HTTP server: those that send pictures, those that stall, those that leave."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

PATIENCE_S = 300.0  # for all requests
_BOUNDARY = b"c7d1f9"

Outcomes = list[tuple[str, float]]  # status and seconds of each answer


def as_body(picture: bytes) -> bytes:
    """A request to `POST /predict` with a picture's file as the body."""
    return _head(len(picture)) + picture


def as_form(picture: bytes) -> bytes:
    """A request to `POST /predict` with a form of one file."""
    part = b'--%s\r\nContent-Disposition: form-data; name="files"; filename="picture"\r\n\r\n' % _BOUNDARY
    form = part + picture + b"\r\n--%s--\r\n" % _BOUNDARY
    return _head(len(form), b"Content-Type: multipart/form-data; boundary=%s\r\n" % _BOUNDARY) + form


def _head(size: int, more: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %d\r\n\r\n" % (more, size)


async def client(port: int, requests: Iterator[bytes], outcomes: Outcomes) -> None:
    """Sends requests over one connection until there are none left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        began = time.perf_counter()
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
            outcomes.append((head.split(b" ", 2)[1].decode(), time.perf_counter() - began))
            if declined := re.search(rb"retry-after: (\d+)", head):
                await asyncio.sleep(int(declined[1]))
        except (OSError, EOFError):
            outcomes.append(("lost", time.perf_counter() - began))
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def stalling(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_head(100_000) + bytes(1000))
    await asyncio.sleep(PATIENCE_S)


async def leaving(port: int, request: bytes) -> None:
    while True:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        with suppress(OSError):
            await writer.drain()
        writer.transport.abort()
        await asyncio.sleep(0.5)


async def load(port: int, requests: Sequence[bytes], clients: int, nuisances: int) -> tuple[Outcomes, float]:
    """Sends each request once. Returns status and seconds of each answer, and the seconds of all."""
    outcomes: Outcomes = []
    beside = [asyncio.ensure_future(stalling(port)) for _ in range(nuisances)]
    beside += [asyncio.ensure_future(leaving(port, requests[0])) for _ in range(nuisances)]
    began, left = time.perf_counter(), iter(requests)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(client(port, left, outcomes) for _ in range(clients)))
    took = time.perf_counter() - began
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    outcomes += [("lost", PATIENCE_S)] * (len(requests) - len(outcomes))
    return outcomes, took
