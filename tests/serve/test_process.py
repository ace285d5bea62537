"""`zoo serve` as a process: it needs neither gradio nor torch, and ends without losing a request."""

from __future__ import annotations

import http.client
import io
import os
import signal
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

from zoo_serve.lifecycle import MIN_DRAIN_SECONDS

from ..demo.test_demo import onnx_artifact
from .process import serving
from .service import png

CLIENTS = 8


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return onnx_artifact(tmp_path_factory.mktemp("serve") / "model.onnx")


def noise(side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


class Load:
    """Clients that send a picture again and again, each over a new connection.

    Attributes:
        outcomes: when each request was sent as a whole, and its status, or the error instead.
    """

    def __init__(self, port: int, body: bytes) -> None:
        self.port, self.body = port, body
        self.outcomes: list[tuple[float, object]] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join(30)

    def _send(self) -> None:
        while not self.ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            sent = time.monotonic()
            try:
                connection.request("POST", "/predict", self.body)
                sent = time.monotonic()
                outcome: object = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                outcome = error
            finally:
                connection.close()
            self.outcomes.append((sent, outcome))
            if not isinstance(outcome, int):
                return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_request_that_was_taken(artifact, number):
    with serving(artifact) as site:
        load = Load(site.port, noise(700))
        time.sleep(1.5)
        asked = time.monotonic()
        site.process.send_signal(number)
        ready = []
        while site.process.poll() is None and len(ready) < 100:
            try:
                ready.append(site.ask("GET", "/health/ready", timeout=5)[0])
            except (OSError, http.client.HTTPException):
                break
            time.sleep(0.02)
        out, err = site.process.communicate(timeout=60)
        load.end()
    assert (site.process.returncode, out, err) == (0, "", "The service has ended.\n")
    assert 503 in ready
    before = [outcome for sent, outcome in load.outcomes if sent < asked - 0.1]
    assert len(before) >= CLIENTS
    assert set(before) == {200}
    after = [outcome for sent, outcome in load.outcomes if sent >= asked - 0.1 and isinstance(outcome, int)]
    assert set(after) <= {200, 503}
    assert 503 in after


def test_what_is_not_http_gets_json_and_slow_senders_hold_nobody_up(artifact):
    picture = png()
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    with serving(artifact) as site:
        stalled = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(20)]
        for connection in stalled:
            connection.sendall(head % 1000 + b"part")
        assert site.ask("POST", "/predict", picture)[0] == 200
        for data in (b"\0" * 100, b"GET / HTTP/9\r\n\r\n", head.replace(b"%d", b"-1"), head.replace(b"%d", b"x")):
            answer = site.raw(data + b"\r\n\r\n")
            assert b" 400 " in answer.splitlines()[0]
            assert b'"not-http"' in answer
        form = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        assert b'"damaged-form"' in site.raw(form + b"Content-Length: 9\r\n\r\nno form..", until=b"}}")
        # More bytes than were announced are no picture; fewer never are a request.
        assert b'"truncated-picture"' in site.raw(head % 45 + picture, until=b"}}")
        assert b" 200 " not in site.raw(head % (len(picture) + 9) + picture, half_closed=True)
        assert site.ask("POST", "/predict", picture)[0] == 200
        assert site.figures()["zoo_requests_in_flight"] <= 20
        for connection in stalled:
            connection.close()
        deadline = time.monotonic() + 30
        while site.figures()["zoo_requests_in_flight"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(30) == 0
        assert site.process.stderr.read() == "The service has ended.\n"


def test_an_upload_that_has_begun_is_taken_and_readiness_is_told_until_its_answer(artifact):
    picture = png()
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(picture)
    with serving(artifact) as site, socket.create_connection(("127.0.0.1", site.port), timeout=30) as slow:
        slow.sendall(head + picture[:20])
        while site.figures()["zoo_requests_in_flight"] != 1:
            time.sleep(0.02)
        site.process.send_signal(signal.SIGTERM)
        ends = time.monotonic() + 3 * MIN_DRAIN_SECONDS
        while time.monotonic() < ends:
            last = site.ask("GET", "/health/ready")
            time.sleep(0.05)
        assert last[0] == 503
        assert b'"draining"' in last[1]
        assert site.ask("POST", "/predict", picture)[0] == 503
        slow.sendall(picture[20:])
        assert b" 200 " in slow.recv(2**16).splitlines()[0]
        assert site.process.wait(30) == 0


@pytest.mark.slow
def test_workers_share_a_port_and_end_with_their_parent(artifact):
    with serving(artifact, "--workers", "2") as site:
        assert {site.ask("POST", "/predict", png())[0] for _ in range(20)} == {200}
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(30) == 0
    with serving(artifact, "--workers", "2") as site:
        site.process.kill()
        site.process.wait()
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", site.port), timeout=1).close()
            except OSError:
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_cannot_be_served_is_said_at_once(artifact, tmp_path):
    from typer.testing import CliRunner

    from zoo.cli import app
    from zoo.errors import ZooError
    from zoo.registry import registry

    registry().add_commands(app)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(artifact.read_bytes() + b"\0")
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        for arguments, code in (
            ([tmp_path / "absent.onnx"], "missing-file"),
            ([artifact, "--port", port], "port-in-use"),
            ([artifact, "--allow-host", "http://a"], "host-name"),
            ([artifact, "--root-path", "a"], "root-path"),
            ([artifact, "--token-file", tmp_path], "token-file"),
        ):
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            done = CliRunner().invoke(app, ["serve", *map(str, arguments)])
            assert isinstance(done.exception, ZooError), done.output
            assert done.exception.code == code
            assert handlers == {number: signal.getsignal(number) for number in handlers}


def invoked(monkeypatch, *arguments):
    """The result of `zoo serve`, and the settings with which it would serve."""
    from typer.testing import CliRunner

    from zoo.cli import app
    from zoo.registry import registry

    registry().add_commands(app)
    given = []
    monkeypatch.setattr("zoo_serve.server.serve", lambda settings, _: given.append(settings))
    return CliRunner().invoke(app, ["serve", *map(str, arguments)]), given


@pytest.mark.parametrize(("host", "token", "warned"), [
    ("127.0.0.1", "", False), ("0.0.0.0", "", True), ("0.0.0.0", "a-token-that-is-long", False), ("::", "", True),
])  # fmt: skip
def test_a_service_that_others_can_reach_warns_without_a_token(artifact, monkeypatch, host, token, warned):
    if token:
        monkeypatch.setenv("ZOO_SERVE_TOKEN", token)
    done, given = invoked(monkeypatch, artifact, "--host", host)
    assert ("Everyone" in done.stderr) == warned
    assert (given[0].host, given[0].token) == (host, token or None)
    assert "a-token-that-is-long" not in done.output


def test_options_reach_the_service(artifact, monkeypatch):
    options = "--queue 7 --batch 3 --time-limit 2 --max-megabytes 0.5 --workers 2 --threads 4 --root-path /a/"
    _, (settings,) = invoked(monkeypatch, artifact, artifact, *options.split(), "--allow-host", "*.example.org")
    limits = settings.limits
    assert (limits.waiting, limits.batch, limits.seconds, limits.file_bytes) == (7, 3, 2.0, 500_000)
    assert (settings.workers, settings.threads, settings.root_path) == (2, 4, "/a")
    monkeypatch.setattr("zoo_serve.cores.core_share", lambda: 8)
    _, (other,) = invoked(monkeypatch, artifact, "--workers", "2")
    assert (other.threads, other.decoders) == (3, 4)
    assert (settings.artifacts, settings.allowed_hosts) == ((str(artifact),) * 2, ("*.example.org",))


@pytest.mark.parametrize("option", ["--time-limit", "--max-megabytes"])
def test_limits_are_finite(artifact, monkeypatch, option):
    done, given = invoked(monkeypatch, artifact, option, "inf")
    assert f"{option} cannot be 'inf'" in str(done.exception)
    assert not given


def test_without_the_extra_its_name_is_said(artifact, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zoo_serve.server", None)
    from typer.testing import CliRunner

    from zoo.cli import app
    from zoo.errors import MissingExtraError
    from zoo.registry import registry

    registry().add_commands(app)
    done = CliRunner().invoke(app, ["serve", str(artifact)])
    assert isinstance(done.exception, MissingExtraError)
    assert "visionzoo[serve]" in str(done.exception)


def test_a_model_that_cannot_be_loaded_ends_the_service(artifact, tmp_path):
    """The card is read before the start; the content is compared with its hash after it."""
    import subprocess
    import sys

    from .process import PROGRAM, free_port

    text = artifact.read_bytes()
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(text.replace(b"means", b"moans"))
    command = [sys.executable, "-c", PROGRAM, "serve", str(changed), "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    assert done.returncode == 1
    assert "does not match its card" in done.stderr
    assert "Traceback" not in done.stderr
