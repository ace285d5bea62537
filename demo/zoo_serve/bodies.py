"""Bodies of requests, with a limit of bytes and seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zoo_serve.limits import BODY_RATE, BODY_SECONDS, GRACE_SECONDS
from zoo_serve.refusals import RequestError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Body:
    """The body of a request.

    Args:
        receive: of ASGI.
        limit: in bytes; it may be changed before the body is read.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._begun = asyncio.get_running_loop().time()
        self._replaced: bytes | None = None
        self._complete = False
        self._size = 0
        self.limit = limit

    async def receive(self) -> Message:
        """The next message. Raises `RequestError` beyond a limit."""
        if self._replaced is not None:
            given, self._replaced = self._replaced, None
            return {"type": "http.request", "body": given, "more_body": False}
        return await self._next()

    async def nothing(self) -> Message:
        """For a request without a body: waits for its end."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            if not message.get("more_body"):
                return {"type": "http.request", "body": b"", "more_body": False}

    async def whole(self) -> bytes:
        """All of it. Raises `RequestError`, and `ConnectionError` if the sender has left."""
        parts = bytearray()
        while True:
            message = await self._next()
            if message["type"] != "http.request":
                raise ConnectionError
            parts += message.get("body", b"")
            if not message.get("more_body"):
                return bytes(parts)

    def replace(self, body: bytes) -> None:
        """Gives the request another body."""
        self._replaced = body

    async def _next(self) -> Message:
        if self._complete:  # the next message says that the sender has left
            return await self._receive()
        deadline = self._begun + min(BODY_SECONDS, GRACE_SECONDS + self._size / BODY_RATE)
        try:
            async with asyncio.timeout_at(deadline):  # not `wait_for`, which makes a task of each message
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                408,
                "The request took too long to arrive.",
                "Try again with a faster connection.",
                code="slow-request",
                headers={"Connection": "close"},  # the rest of it is not read
            ) from None
        self._complete = not message.get("more_body")
        self._size += len(message.get("body", b""))
        if self._size > self.limit:
            raise too_large(self.limit)
        return message


def too_large(limit: int) -> RequestError:
    """The error for a request of more bytes than the limit."""
    cause = f"The request has more than {limit / 1e6:g} MB."
    return RequestError(413, cause, "Send less data.", code="request-too-large", headers={"Connection": "close"})
