"""The web server: one address, no requests to other servers, no files left behind."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import MissingExtraError, UsageError
from zoo_demo.access import Access
from zoo_demo.models import LeftOut, Model
from zoo_demo.texts import Language
from zoo_demo.uploads import Uploads
from zoo_serve.hosts import Hosts
from zoo_serve.ports import address_of, is_free

FIRST_PORT = 7860
PORTS = 100


def free_port(host: str, port: int | None) -> int:
    """`port` if it is free, or if it is None, the first free port from 7860. Raises `UsageError`."""
    candidates = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    for candidate in candidates:
        if is_free(host, candidate):
            return candidate
    if port is None:
        raise UsageError(
            f"Ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are in use.",
            "Choose another one with --port.",
            code="port-in-use",
        )
    raise UsageError(f"Port {port} is in use.", "Choose another --port, or leave it out.", code="port-in-use")


@contextmanager
def running(
    models: Sequence[Model],
    host: str,
    port: int | None = None,
    *,
    allowed_hosts: Sequence[str] = (),
    left_out: Sequence[LeftOut] = (),
    language: Language | None = None,
    access: Access | None = None,
) -> Iterator[str]:
    """Serves the page until the context ends. The folder of uploads is removed then.

    Args:
        port: None for the first free one from 7860.
        allowed_hosts: more host names of the page; see `zoo_serve.hosts.Hosts`. They may change meanwhile.
        left_out: files that the page names, with the reason why it does not show them.
        language: of the page; None for the language of each visitor's browser.
        access: checks who sends a request; None lets everyone in.

    Yields:
        The page's address.

    Raises:
        UsageError: the port is in use, or the host is not this machine's.
    """
    with tempfile.TemporaryDirectory(prefix="zoo-demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_RUN_HISTORY"] = "False"
        try:
            from zoo_demo import site
        except ImportError:
            raise MissingExtraError("The browser demo", "demo") from None
        # Late: Gradio takes seconds to import, and another server may take the port meanwhile.
        port = free_port(host, port)
        uploads = Uploads(Path(folder))
        hosts = Hosts(host, allowed_hosts)
        with site.serving(models, uploads, hosts, port, left_out=left_out, language=language, access=access):
            yield address_of(host, port)


def wait_for_interrupt() -> None:
    """Returns at Ctrl-C, or when the process gets SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean-up
