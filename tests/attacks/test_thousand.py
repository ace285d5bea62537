"""The thousand uploads of `hostile` against `zoo serve`, `/api` of `zoo demo`, and its page.

Each gets an answer: a class, or a cause and a remedy. Memory stays bounded, the operator's terminal shows no traceback,
and the server still answers.
"""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

pytest.importorskip("gradio", reason="the demo extra is not installed")

from ..demo.test_demo import onnx_artifact
from ..serve.process import serving
from ..serve.service import form, png
from .hostile import COUNT, Hostile, uploads
from .site import TIMEOUT_S, answer, demo, memory_of

pytestmark = pytest.mark.slow

PEAK_MIB = 1500  # the peaks of all processes together; the largest pictures take 640 while they are decoded
EVERY = 100  # uploads, a good picture
HIDDEN = "root:"  # of /etc/passwd


class Programs:
    """Routes for programs, below a path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(trust_env=False, timeout=TIMEOUT_S)

    def send(self, upload: Hostile, *, as_form: bool) -> str:
        """What is wrong with the answer; nothing if it is clear."""
        body, kind = upload.build(), "image/png"
        if as_form:
            body, kind = form((upload.filename, body))
        if upload.length is not None:
            return wrong_length(f"{self.url}/predict", body, kind, upload.length)
        found = self.client.post(f"{self.url}/predict", content=body, headers={"content-type": kind})
        if HIDDEN in found.text or set(found.content) & set(range(32)) or len(found.content) > 2000:
            return f"answered {found.text[:300]}"
        given = found.json()
        if found.status_code != 200:
            said = given["error"]
            labelled = False
        else:
            (row,) = given
            labelled, said = "label" in row, row.get("error")
        clear = labelled or (set(said) == {"code", "cause", "remedy"} and all(said.values()))
        if clear and found.status_code < 500 and upload.good in (None, labelled):
            return ""
        return f"{found.status_code} {found.text[:300]}"

    def good(self) -> bool:
        found = self.client.post(f"{self.url}/predict", content=png("blue"))
        return found.status_code == 200 and found.json()[0]["label"] == "blue"


class Page:
    """The page, by the requests that it sends."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=TIMEOUT_S)
        components = self.client.get("config").json()["components"]
        self.title = next(each["props"]["value"] for each in components if each["type"] == "dropdown")

    def send(self, upload: Hostile, *, as_form: bool = True) -> str:
        body, kind = form((upload.filename, upload.build()))
        if upload.length is not None:
            return wrong_length(f"{self.url}gradio_api/upload", body, kind, upload.length)
        found = self.client.post("gradio_api/upload", content=body, headers={"content-type": kind})
        if found.status_code != 200:
            clear = found.status_code < 500 and len(found.json()["error"]) > 20
            return "" if clear and not upload.good else f"{found.status_code} {found.text[:300]}"
        (path,) = found.json()
        if not re.fullmatch(r"[^<>\x00-\x1f\x7f-\xff]{1,300}", path) or ".." in path:
            return f"named {path[:300]!r}"
        labelled, text = self.ask(path)
        sentence = re.search(r'"error": ?"([^"]{20,})', text)
        if HIDDEN in text or not (labelled or sentence) or upload.good not in (None, labelled):
            return text[:300]
        return ""

    def ask(self, path: str) -> tuple[bool, str]:
        return answer(self.client, {"data": [{"path": path}, self.title]})

    def good(self) -> bool:
        body, kind = form(("x.png", png("blue")))
        (path,) = self.client.post("gradio_api/upload", content=body, headers={"content-type": kind}).json()
        done, text = self.ask(path)
        return done and '"label": "blue"' in text


def wrong_length(url: str, body: bytes, kind: str, said: str) -> str:
    """No answer, if more bytes are announced than come; else one that is not a failure of the server."""
    place = urlsplit(url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(f"{head}Content-Length: {said}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while part := connection.recv(2**16):
                found += part
        except ConnectionError:  # it did not read the rest
            pass
    if not found or re.match(rb"HTTP/1\.1 (200|4\d\d) ", found):
        return ""
    return found[:300].decode("latin-1")


def send_all(target: Programs | Page) -> None:
    with closing(target.client):
        wrong = wrong_answers(target)
        assert wrong == {}
        assert target.good()


def wrong_answers(target: Programs | Page) -> dict[str, str]:
    wrong = {}
    for number, upload in enumerate(uploads()):
        try:
            found = target.send(upload, as_form=number % 2 == 1 or upload.good is True)
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            found = f"{type(error).__name__}: {error}"
        if found:
            wrong[upload.name] = found
        if number % EVERY == 0:
            assert target.good()
    return wrong


def test_there_are_a_thousand():
    assert len({upload.name for upload in uploads()}) == COUNT
    assert len({upload.build() for upload in uploads() if upload.name.startswith("mutated")}) > 600


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    return onnx_artifact(tmp_path_factory.mktemp("thousand") / "model.onnx")


def test_zoo_serve(artifact):
    with serving(artifact) as site:
        send_all(Programs(f"http://127.0.0.1:{site.port}"))
        _, peak = memory_of(site.process.pid)
        assert site.figures()["zoo_requests_in_flight"] == 0
        assert site.figures()["zoo_queue_pictures"] == 0
        site.process.terminate()
        _, said = site.process.communicate(timeout=60)
    assert peak < PEAK_MIB
    assert "Traceback" not in said


@pytest.fixture
def site(artifact, tmp_path):
    with demo(artifact, tmp_path) as site:
        yield site
        _, peak = site.memory_mib()
        assert peak < PEAK_MIB
        assert site.lines() == []
        assert json.loads(httpx.get(f"{site.url}api/health/live", trust_env=False).text)["status"] == "alive"


def test_api_of_the_demo(site):
    send_all(Programs(f"{site.url}api"))


def test_page(site):
    send_all(Page(site.url))
