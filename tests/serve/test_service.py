"""What stands around `/predict`: states, figures, the description of the routes, tokens and host names."""

from __future__ import annotations

import json
import os
import re

import pytest

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

from zoo.errors import UsageError
from zoo_serve import openapi
from zoo_serve.cores import core_share
from zoo_serve.models import names_for
from zoo_serve.settings import MIN_TOKEN, Settings, check_root_path, pass_on, passed_on, token_from

from ..cards import any_card
from ..refusals import refused
from .service import form, png, served

TOKEN = "a-token-that-is-long"
ROUTES = ("/predict", "/models", "/health", "/health/ready", "/health/live", "/metrics", "/openapi.json", "/docs")


@pytest.fixture(scope="module")
def service():
    with served(names=("colours", "other")) as running:
        yield running


def test_the_models_are_listed(service):
    models = service.ask("GET", "/models").json
    assert [model["name"] for model in models] == ["colours", "other"]
    assert models[0]["classes"] == ["red", "green", "blue"]


def test_models_have_names_that_need_no_escaping():
    names = ["resnet18 mnist", "resnet18 mnist", "<b>/../x", "\u4e2d\u6587", "a" * 200]
    assert names_for(any_card(name=name) for name in names) == [
        "resnet18-mnist", "resnet18-mnist-2", "b-..-x", "model", "a" * 64,
    ]  # fmt: skip
    assert names_for([any_card(name="a"), any_card(name="a", precision="int8")]) == ["a", "a-int8"]


@pytest.mark.parametrize(("phase", "status"), [("starting", 503), ("ready", 200), ("draining", 503)])
def test_requests_are_taken_when_it_is_ready(phase, status):
    with served() as running:
        running.state.phase = phase
        for method, target in (("POST", "/predict"), ("GET", "/models"), ("GET", "/health"), ("GET", "/health/ready")):
            answer = running.ask(method, target, png() if method == "POST" else b"")
            assert answer.status == status
        assert running.ask("GET", "/health/ready").json["status"] == phase
        assert running.ask("GET", "/health/live").status == 200
        answer = running.predict(png())
        if status == 503:
            assert answer.code == phase
            assert int(answer.headers["retry-after"]) > 0
        assert answer.headers.get("connection") == ("close" if phase == "draining" else None)


def test_a_model_that_never_answers_is_not_alive():
    with served() as running:
        running.state.models["colours"]._batcher._begun = -1e6
        assert running.ask("GET", "/health/live").status == 503
        running.state.models["colours"]._batcher._begun = None


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/predict/", 404),
        ("POST", "/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/predict", 405),
        ("DELETE", "/models", 405),
        ("POST", "/health", 405),
        ("TRACE", "/metrics", 405),
    ],
)
def test_what_does_not_exist_has_a_remedy(service, method, target, status):
    answer = service.ask(method, target)
    assert answer.status == status
    assert set(answer.json["error"]) == {"code", "cause", "remedy"}
    assert status == 404 or answer.headers["allow"]


def test_the_figures_count_requests_batches_and_time():
    with served() as running:
        body, kind = form(("a.png", png()), ("b.png", png()))
        running.predict(body, content_type=kind)
        running.predict(b"text")
        running.ask("GET", "/nothing\n")
        text = running.ask("GET", "/metrics").body.decode()
    assert 'zoo_requests_total{route="/predict",status="200"} 1' in text
    assert 'zoo_requests_total{route="/predict",status="415"} 1' in text
    assert 'zoo_requests_total{route="other",status="404"} 1' in text
    assert "zoo_request_seconds_count 2" in text
    assert "zoo_batch_pictures_sum 2.0" in text
    assert "zoo_queue_pictures 0" in text
    assert "zoo_requests_in_flight 0" in text
    for line in text.splitlines():  # the grammar of the format
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[^\"\\]*\"(,\w+=\"[^\"\\]*\")*\})? [0-9.+e]+", line), (
            line
        )
    buckets = [int(count) for count in re.findall(r'zoo_request_seconds_bucket\{le="[^"]+"\} (\d+)', text)]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2


def references(value):
    if isinstance(value, dict):
        yield from (each for key, item in value.items() for each in ([item] if key == "$ref" else references(item)))
    elif isinstance(value, list):
        yield from (each for item in value for each in references(item))


def test_the_routes_are_described(service):
    described = service.ask("GET", "/openapi.json").json
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == set(ROUTES)
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["responses"]["200"]
            answer = service.ask(method.upper(), path, png())
            assert answer.status == 200
            assert answer.headers["content-type"].split(";")[0] in operation["responses"]["200"]["content"]
    for reference in references(described):
        place = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    names = [operation["operationId"] for each in described["paths"].values() for operation in each.values()]
    assert len(names) == len(set(names))


def test_every_status_of_an_answer_is_described(service):
    described = service.ask("GET", "/openapi.json").json["paths"]["/predict"]["post"]["responses"]
    pictures = [(png(), ""), (b"text", ""), (b"", ""), (png()[:45], "")]
    given = {service.predict(*each).status for each in [*pictures, (png(), "?model=x"), (png(), "?top_k=x")]}
    assert given == {200, 400, 404, 415}
    assert given | {403, 408, 413, 429, 500, 503, 504} == {int(status) for status in described}


def test_the_page_of_the_routes_asks_for_nothing_and_runs_nothing(service):
    answer = service.ask("GET", "/docs")
    page = answer.body.decode()
    assert not re.findall(r"<script|\bon\w+=|(?:src|href)=['\"]?(?:https?:)?//|url\(|@import", page)
    assert answer.headers["content-security-policy"] == openapi.DOCS_POLICY
    for route in ROUTES:
        assert route in page


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer ", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer \u00e9", 401),
    ],
)
def test_a_token_is_compared_as_a_whole(sent, status):
    with served(token=TOKEN) as running:
        named = {} if sent is None else {"authorization": sent}
        for method, target in (("POST", "/predict"), ("GET", "/models"), ("GET", "/metrics"), ("GET", "/nothing")):
            answer = running.ask(method, target, png(), **named)
            assert answer.status == (404 if (status, target) == (200, "/nothing") else status)
            assert ("www-authenticate" in answer.headers) == (status == 401)
        for target in ("/health", "/health/live", "/health/ready", "/docs", "/openapi.json"):
            assert running.ask("GET", target).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("host", "localhost:8000")], 200),
        ([("host", "evil.example")], 403),
        ([("host", "127.0.0.1"), ("host", "127.0.0.1")], 400),
        ([("host", "127.0.0.1"), ("x-forwarded-host", "evil.example")], 403),
        ([("host", "127.0.0.1"), ("origin", "http://evil.example")], 403),
        ([("host", "127.0.0.1"), ("origin", "http://127.0.0.1")], 200),
    ],
)
def test_pages_of_other_servers_cannot_use_it(service, headers, status):
    answer = service.ask("GET", "/models", b"", *headers)
    assert answer.status == status
    assert status == 200 or "<" not in answer.body.decode()


@pytest.mark.parametrize("path", ["/predict", "/zoo/v1/predict"])
def test_a_proxy_may_leave_its_path_or_take_it_away(path):
    with served(root_path="/zoo/v1") as running:
        assert running.ask("POST", path, png()).status == 200
        assert running.ask("GET", "/zoo/v1").status == 404
        assert running.ask("GET", "/openapi.json").json["servers"] == [{"url": "/zoo/v1"}]


def test_the_path_of_a_proxy_is_a_path():
    assert [check_root_path(path) for path in ("", "/", "/a/b/")] == ["", "", "/a/b"]
    for path in ("a", "/a b", "/a?b", "/\u00e9"):
        with refused("root-path", path, kind=UsageError):
            check_root_path(path)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    assert token_from(None, False) is None
    monkeypatch.setenv("ZOO_SERVE_TOKEN", TOKEN)
    assert token_from(None, False) == TOKEN
    (tmp_path / "token").write_text(f"{TOKEN}-2\n")
    assert token_from(tmp_path / "token", False) == f"{TOKEN}-2"
    with refused("token-file", tmp_path / "absent", kind=UsageError):
        token_from(tmp_path / "absent", False)
    monkeypatch.setattr("getpass.getpass", lambda _: f"{TOKEN}-3")
    assert token_from(None, True) == f"{TOKEN}-3"
    for weak in ("", "x" * (MIN_TOKEN - 1), "x y" * MIN_TOKEN, "\u00e9" * MIN_TOKEN, "x\n" * MIN_TOKEN):
        monkeypatch.setenv("ZOO_SERVE_TOKEN", weak)
        with refused("weak-token", MIN_TOKEN, kind=UsageError):
            token_from(None, False)


def test_workers_read_the_settings_that_were_given(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    settings = Settings(artifacts=("a.onnx",), allowed_hosts=("b",), token=TOKEN, threads=3)
    pass_on(settings)
    json.dumps(os.environ)
    assert passed_on() == settings
    assert os.environ == {}


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 8),
        ({"sys/fs/cgroup/cpu.max": "1000 100000"}, 1),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/a", "sys/fs/cgroup/a/cpu.max": "x"}, 8),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/d\n1:memory:/e",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000",
            },
            2,
        ),
    ],
)
def test_the_cores_of_a_container_are_its_share(tmp_path, monkeypatch, files, share):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert core_share(tmp_path) == share
