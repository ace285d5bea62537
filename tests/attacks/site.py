"""`zoo demo` as a process, with something to steal beside it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

TIMEOUT_S = 60


@dataclass
class Site:
    """A running demo.

    Attributes:
        home: where it was started: a picture `secret.png` and a pipe lie there.
        uploads: its upload folder.
        errors: what it wrote to the operator's terminal.
    """

    url: str
    home: Path
    uploads: Path
    errors: Path
    process: subprocess.Popen

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, trust_env=False, timeout=TIMEOUT_S)

    def lines(self) -> list[str]:
        """What the operator saw so far."""
        return self.errors.read_text().splitlines()

    def memory_mib(self) -> tuple[float, float]:
        """Resident memory of the demo and its children, now and at most so far, each process by itself."""
        found = [memory_of(pid) for pid in self.pids()]
        return sum(now for now, _ in found), sum(most for _, most in found)

    def pids(self) -> list[int]:
        """Its own, and those of its children."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task")
        return [own, *(int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split())]


def memory_of(pid: int) -> tuple[float, float]:
    """Resident memory of a process in MiB, now and at most so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


@contextmanager
def demo(model: Path, folder: Path, *options: str, **environment: str) -> Iterator[Site]:
    """Serves a file with `zoo demo`.

    Args:
        folder: an empty one.
    """
    home, temporary, errors = folder / "home", folder / "tmp", folder / "errors"
    home.mkdir()
    temporary.mkdir()
    Image.fromarray(np.full((28, 28, 3), (200, 20, 20), np.uint8)).save(home / "secret.png")
    os.mkfifo(home / "pipe")
    command = [sys.executable, "-m", "zoo", "demo", str(model), *options]
    variables = {**os.environ, "TMPDIR": str(temporary), "COLUMNS": "400", **environment}
    with (
        errors.open("w") as file,
        subprocess.Popen(command, cwd=home, env=variables, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        try:
            found = re.search(r"http://[^ ]+", process.stdout.readline())
            assert found, errors.read_text()
            (uploads,) = temporary.glob("zoo-demo-*")
            yield Site(found[0], home, uploads, errors, process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def answer(client: httpx.Client, body: object, path: str = "gradio_api/call/predict") -> tuple[bool, str]:
    """Asks for a prediction, and waits for it: whether there is one, and the text of the answer."""
    posted = client.post(path, json=body)
    if posted.status_code != 200:
        return False, posted.text
    event = posted.json()["event_id"]
    if "queue/join" in path:
        return _streamed(client, f"gradio_api/queue/data?session_hash={body['session_hash']}")
    text = client.get(f"gradio_api/call/predict/{event}").text
    return text.startswith("event: complete"), text


def _streamed(client: httpx.Client, path: str) -> tuple[bool, str]:
    with client.stream("GET", path) as response:
        for line in response.iter_lines():
            if '"process_completed"' in line:
                return '"success":true' in line, line
    return False, "the stream ended"


def upload(client: httpx.Client, data: bytes, name: str = "x.png") -> str:
    """The path that the demo gives to a file."""
    response = client.post("gradio_api/upload", files={"files": (name, data)})
    response.raise_for_status()
    return response.json()[0]


def wait_until(true, seconds: float) -> bool:
    """Whether something comes true in that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())
