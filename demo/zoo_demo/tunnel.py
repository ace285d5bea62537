"""A public address for the demo: Gradio's tunnel, which only `--share` opens."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zoo.errors import ZooError

Opener = Callable[[str, int], AbstractContextManager[str]]


@contextmanager
def gradio_tunnel(host: str, port: int) -> Iterator[str]:
    """Connects a server of Gradio with a port of this machine until the context ends. Yields the public address.

    Gradio's own `setup_tunnel` leaves a certificate in the working folder, and a program that it could not check.
    """
    import httpx
    from gradio.exceptions import ChecksumMismatchError
    from gradio.networking import GRADIO_API_SERVER
    from gradio.tunneling import BINARY_PATH, Tunnel

    with tempfile.TemporaryDirectory(prefix="zoo-demo-share-") as folder, contextlib.ExitStack() as ending:
        server = httpx.get(GRADIO_API_SERVER, timeout=30).json()[0]
        certificate = Path(folder, "certificate.pem")
        certificate.write_text(server["root_ca"], encoding="utf-8")
        tunnel = Tunnel(server["host"], int(server["port"]), host, port, secrets.token_urlsafe(32), str(certificate))
        ending.callback(_kill, tunnel)
        try:
            with contextlib.redirect_stderr(StringIO()):  # its log; the error has it too
                address: str = tunnel.start_tunnel()
        except ChecksumMismatchError:
            Path(BINARY_PATH).unlink(missing_ok=True)
            raise
        yield address


def _kill(tunnel: Any) -> None:
    with contextlib.redirect_stdout(StringIO()):  # it prints
        tunnel.kill()


def _name_of(address: str) -> str:
    name = urlsplit(address).hostname
    if name is None:
        raise ValueError(f"'{address}' is not an address")
    return name


@contextmanager
def public_address(local: str, names: MutableSequence[str], open_tunnel: Opener = gradio_tunnel) -> Iterator[str]:
    """Opens a tunnel to the page until the context ends. Yields the public address.

    Args:
        local: address of the page.
        names: the accepted host names; takes the public one while the tunnel is open.

    Raises:
        ZooError: the tunnel cannot be opened.
    """
    here = urlsplit(local)
    assert here.hostname
    assert here.port
    with contextlib.ExitStack() as stack:
        try:
            public = stack.enter_context(open_tunnel(here.hostname, here.port))
            name = _name_of(public)
        except Exception as error:  # of httpx, of Gradio, of the program that it starts
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ZooError(
                f"The public address could not be opened: {reason.rstrip('.'):.200}.",
                "Check the connection to the internet, or leave out --share.",
                code="no-tunnel",
            ) from None
        names.append(name)
        try:
            yield public
        finally:
            names.remove(name)
