"""`zoo serve` as a process."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# What the extra `serve` does not install.
PROGRAM = "import sys; sys.modules |= dict.fromkeys(('gradio', 'fastapi', 'torch')); from zoo.cli import main; main()"


@dataclass
class Site:
    """A running service."""

    process: subprocess.Popen
    port: int

    def ask(self, method: str, target: str, body: bytes | None = None, timeout: float = 60) -> tuple[int, bytes]:
        """The status and the body of an answer. Raises `OSError`, `HTTPException`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, data: bytes, *, half_closed: bool = False, until: bytes | None = None) -> bytes:
        """What comes back for these bytes until the service closes the connection, or has sent `until`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(2**16):
                found += part
                if until and until in found:
                    break
            return found

    def figures(self) -> dict[str, float]:
        """What /metrics tells, without histograms' buckets."""
        text = self.ask("GET", "/metrics")[1].decode()
        return {name: float(value) for name, value in re.findall(r"^([^#\s]+) (\S+)$", text, re.MULTILINE)}

    def models(self) -> list[dict]:
        return json.loads(self.ask("GET", "/models")[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(*arguments: object, **environment: str) -> Iterator[Site]:
    """A service that is ready."""
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, "serve", *map(str, arguments), "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command, **pipes, env=os.environ | environment, cwd=Path(__file__).parents[2], start_new_session=True
    ) as process:
        site = Site(process, port)
        try:
            said = process.stdout.readline()
            assert f":{port}/" in said, said + process.stderr.read()
            deadline = time.monotonic() + 60
            while site.ask("GET", "/health/ready")[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield site
        finally:
            process.kill()
