"""`/api` of `zoo demo`: the service for programs, beside the page and in one queue with it."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import pytest

from zoo.errors import DataError
from zoo_demo.models import Model
from zoo_demo.turns import Turns
from zoo_serve.admission import Admission
from zoo_serve.refusals import RequestError

from ..refusals import refused
from .demo_server import card
from .test_demo import files, started

httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")
pytest.importorskip("gradio", reason="the demo extra is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    log = tmp_path_factory.mktemp("demo") / "log"
    with started([sys.executable, "-m", "tests.demo.demo_server", str(log)]) as process:
        yield process.stdout.readline().strip()


@pytest.fixture(scope="module")
def http(site):
    with httpx.Client(base_url=site, trust_env=False) as client:
        yield client


def test_it_answers_as_the_service_does(http):
    models = http.get("api/models").json()
    assert [model["name"][:20] for model in models] == ["colours", "img-src-x-onerror-al"]
    one = http.post("api/predict?top_k=2", content=files()["png"])
    assert one.status_code == 200
    (row,) = one.json()
    assert (row["file"], row["label"], len(row["top"])) == ("picture", "red", 2)
    several = {"files": ("a.png", files()["png"])}, {"files": ("b.png", b"text")}
    rows = http.post("api/predict", files=[pair for each in several for pair in each.items()]).json()
    assert rows[0]["label"] == "red"
    assert rows[1]["error"]["code"] == "unknown-picture-format"
    assert http.get("api/health/ready").json()["status"] == "ready"
    assert 'route="/predict",status="200"} 2' in http.get("api/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "api/predict", b"text", 415),
        ("POST", "api/predict", b"", 400),
        ("POST", "api/predict?model=x", b"", 404),
        ("GET", "api/predict", None, 405),
        ("GET", "api/", None, 404),
        ("GET", "api/../config", None, 200),
        ("GET", "api/%2e%2e/config", None, 404),
    ],
)
def test_errors_are_those_of_the_service(http, method, path, content, status):
    answer = http.request(method, path, content=content)
    assert answer.status_code == status
    assert status == 200 or set(answer.json()["error"]) == {"code", "cause", "remedy"}


def test_foreign_pages_and_names_are_refused(http):
    assert http.get("api/models", headers={"origin": "http://evil.example"}).status_code == 403
    assert http.get("api/models", headers={"host": "evil.example"}).status_code == 403


class Slow:
    """A model that notes whom it answers."""

    expected_seconds = 0.01

    def __init__(self) -> None:
        self.order: list[bytes] = []
        self.opened = threading.Event()

    def ask(self, kind, body, top_k=5):
        assert self.opened.wait(30)
        time.sleep(0.05)
        self.order.append(body)
        if body == b"bad":
            raise DataError("No.", "Never.", code="too-many-pixels")
        return SimpleNamespace(top=[("red", 1.0)])


@pytest.fixture
def turns():
    service = Slow()
    turns = Turns("colours", Model("Colours", card(), service))
    yield turns, service
    service.opened.set()
    turns.close()


def test_page_and_programs_take_turns(turns):
    turns, service = turns
    programs = [turns.submit(f"api {number}".encode(), 1, 30) for number in range(4)]
    while not turns.running_seconds:
        time.sleep(0.01)

    def visit():
        for number in range(2):
            turns.ask("file", f"page {number}".encode())

    visitor = threading.Thread(target=visit)
    visitor.start()
    time.sleep(0.2)
    service.opened.set()
    assert [future.result(30).label for future in programs] == ["red"] * 4
    visitor.join(30)
    # The visitor waits for one picture at a time, and none of the programs for both of them.
    assert service.order[:2] == [b"api 0", b"page 0"]
    assert service.order.index(b"page 1") < len(service.order) - 1


def test_errors_reach_both(turns):
    turns, service = turns
    service.opened.set()
    with refused("too-many-pixels"):
        turns.ask("file", b"bad")
    with refused("too-many-pixels"):
        turns.submit(b"bad", 1, 30).result(30)


def test_who_waits_when_the_demo_ends_is_told(turns):
    turns, service = turns
    first, second = (turns.submit(b"", 1, 30) for _ in range(2))
    while not turns.running_seconds:
        time.sleep(0.01)
    threading.Timer(0.2, service.opened.set).start()
    turns.close()
    assert first.result(30).label == "red"
    with refused("draining", kind=RequestError):
        second.result(30)


def test_the_pictures_of_the_page_count_for_programs():
    page = ["picture"] * 3
    admission = Admission(4, 60.0, elsewhere=lambda: len(page))
    admission.check(1, 0.01)
    with refused("queue-full", "3 pictures", kind=RequestError):
        admission.check(2, 0.01)
    with refused("queue-full", kind=RequestError):
        admission.check(1, 21.0)
