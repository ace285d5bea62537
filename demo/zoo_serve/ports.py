"""Ports of this machine."""

from __future__ import annotations

import errno
import os
import socket

from zoo.errors import UsageError, reason_of


def is_free(host: str, port: int) -> bool:
    """Whether a server can listen there. Raises `UsageError` if the host is not this machine's."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name == "posix":  # on Windows this option would allow two servers on one port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise UsageError(
            f"The server cannot listen on {host}, port {port}: {reason_of(error)}.",
            "Choose another --host.",
            code="host-unavailable",
        ) from None
    return True


def address_of(host: str, port: int) -> str:
    """The address that a person opens."""
    shown = f"[{host}]" if ":" in host else "localhost" if host == "0.0.0.0" else host  # noqa: S104
    return f"http://{shown}:{port}/"
