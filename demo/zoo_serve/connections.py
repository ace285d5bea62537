"""Connections of uvicorn: those that send nothing are closed, and what libraries log stays on one line."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from zoo_serve.limits import MAX_CONNECTIONS, SILENT_SECONDS
from zoo_serve.refusals import RequestError, as_json


def config_for(app: Any, host: str, port: int, **more: Any) -> uvicorn.Config:
    """How uvicorn serves the page and the service: quietly, without WebSockets, with a bound on its connections.

    Args:
        more: other settings of uvicorn.
    """
    return uvicorn.Config(
        app,
        host,
        port,
        http=ImpatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,  # beyond it uvicorn answers by itself, without JSON
        **more,
    )


class ImpatientProtocol(H11Protocol):
    """Closes connections that send no request or only a part of one."""

    _seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(SILENT_SECONDS, self._look)

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, in JSON like all other errors."""
        error = RequestError(400, "The request is not valid HTTP.", "Send it with an HTTP client.", code="not-http")
        body = json.dumps({"error": as_json(error)}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        try:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer to an earlier request has begun
            self.logger.debug(msg)
        self.transport.close()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        # After an answer, uvicorn sets a timer. It cancels the timer at the first byte of the next request.
        cycle: RequestResponseCycle | None = self.cycle
        unfinished = cycle is None or (cycle.response_complete and self.timeout_keep_alive_task is None)
        if cycle is self._seen and unfinished:
            self.transport.close()
            return
        self._seen = cycle
        self.loop.call_later(SILENT_SECONDS, self._look)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.name}: {(record.getMessage().splitlines() or [''])[0]:.200}"


LOGGERS = ("uvicorn", "uvicorn.error", "asyncio", "python_multipart")


def one_line_each(names: Sequence[str] = LOGGERS) -> None:
    """Libraries log errors as single lines in the terminal, without tracebacks, and no warnings about requests."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    handler.setLevel(logging.ERROR)
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
