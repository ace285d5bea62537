"""Runs the service with uvicorn, in this process or in several workers."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from zoo.errors import UsageError, ZooError
from zoo.processes.children import announced, guard
from zoo.progress import Reporter
from zoo_serve.app import App, application
from zoo_serve.connections import config_for, one_line_each
from zoo_serve.hosts import Hosts
from zoo_serve.lifecycle import Lifecycle
from zoo_serve.ports import is_free
from zoo_serve.settings import Settings, pass_on, passed_on
from zoo_serve.state import State

BACKLOG = 1024  # connections that the system holds for the service
# For a connection between two requests: longer than a client waits that was told to come again.
KEEP_SECONDS = 30
END_SECONDS = 5  # for connections, after all requests were answered


def serve(settings: Settings, listening: Callable[[], None]) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Args:
        listening: called when clients can connect.

    Raises:
        UsageError: the port is in use.
        ZooError: a model cannot be loaded.
    """
    if not is_free(settings.host, settings.port):
        cause = f"Port {settings.port} is in use."
        raise UsageError(cause, "Choose another one with --port.", code="port-in-use")
    # uvicorn raises the signal again after its end; the exit code of a service that was asked to end is 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    one_line_each()
    if settings.workers == 1:
        _serve_here(settings, listening)
    else:
        _serve_in_workers(settings, listening)


def _serve_here(settings: Settings, listening: Callable[[], None]) -> None:
    failures: list[ZooError] = []

    def failed(error: ZooError) -> None:
        failures.append(error)
        server.should_exit = True

    server = _Server(_config(_application(settings, failed), settings), listening)
    try:
        server.run()
    except SystemExit:
        cause = f"The server cannot start at {settings.host}, port {settings.port}."
        raise ZooError(cause, "Choose another --host or --port.", code="server-not-started") from None
    if failures:
        raise failures[0]


def _serve_in_workers(settings: Settings, listening: Callable[[], None]) -> None:
    pass_on(settings)
    config = _config("zoo_serve.server:worker", settings, factory=True, workers=settings.workers)
    with _listener(settings) as listener, announced():
        listening()
        workers = _Workers(config, [listener])
        workers.run()
    if not workers.was_asked:
        cause = "The worker processes could not start."
        raise ZooError(cause, "Their messages are above.", code="workers-not-started")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


class _Workers(Multiprocess):
    """uvicorn's worker processes; a worker that ends by itself is started again."""

    was_asked = False  # to end

    def handle_int(self) -> None:
        self.was_asked = True
        super().handle_int()

    def handle_term(self) -> None:
        self.was_asked = True
        super().handle_term()


def worker() -> App:
    """The application of a worker process."""
    guard()
    one_line_each()

    def failed(error: ZooError) -> None:
        Reporter().warn(str(error))
        os._exit(STARTUP_FAILURE)  # which ends the parent

    return _application(passed_on(), failed)


def _application(settings: Settings, failed: Any) -> App:
    state = State(settings.limits)
    hosts = Hosts(settings.host, settings.allowed_hosts)
    life = Lifecycle(settings, state, failed)
    return application(state, hosts, token=settings.token, root_path=settings.root_path, lifespan=life)


def _config(app: Any, settings: Settings, **more: Any) -> uvicorn.Config:
    return config_for(
        app,
        settings.host,
        settings.port,
        loop="asyncio",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=END_SECONDS,
        **more,
    )


def _listener(settings: Settings) -> socket.socket:
    """The socket of all workers. The system gives each connection to one of them."""
    family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener
