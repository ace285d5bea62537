"""A demo with a password, and with a public address."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import UsageError
from zoo_demo import access as module
from zoo_demo.access import Access, credentials_from, guesser_of
from zoo_serve.refusals import RequestError

from ..refusals import refused
from .private_server import CREDENTIALS, PUBLIC, TOKEN
from .test_demo import files, onnx_artifact, started

gradio_client = pytest.importorskip("gradio_client", reason="the demo extra is not installed")
httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")

USER, PASSWORD = CREDENTIALS.split(":", 1)


def basic(credentials: str = CREDENTIALS) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the page that `private_server.py` serves."""
    log = tmp_path_factory.mktemp("demo") / "log"
    with started([sys.executable, "-m", "tests.demo.private_server", str(log)]) as process:
        url, public = process.stdout.readline().split()
        assert public == PUBLIC
        yield url


@pytest.fixture(scope="module")
def http(site):
    with httpx.Client(base_url=site, trust_env=False) as client:
        yield client


PLACES = [
    ("GET", ""),
    ("HEAD", ""),
    ("GET", "config"),
    ("GET", "theme.css"),
    ("GET", "manifest.json"),
    ("GET", "static/img/logo.svg"),
    ("GET", "gradio_api/info"),
    ("GET", "gradio_api/queue/data?session_hash=a"),
    ("GET", "gradio_api/file=/etc/passwd"),
    ("POST", "gradio_api/upload"),
    ("POST", "gradio_api/queue/join"),
    ("POST", "gradio_api/call/predict"),
    ("GET", "api/docs"),
    ("GET", "api/models"),
    ("GET", "api/health/ready"),
    ("POST", "api/predict"),
    ("POST", "login"),
    ("GET", "nothing"),
]


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_nothing_is_answered_without_the_password(http, method, path):
    answer = http.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="zoo demo", charset="UTF-8"'
    assert "user name and a password" in answer.text or method == "HEAD"
    assert "script-src" not in answer.headers["content-security-policy"]


def test_the_password_opens_the_page_and_the_service(http):
    headers = {"authorization": basic()}
    for path in ("", "config", "theme.css", "gradio_api/info", "api/docs", "api/models", "api/health/ready"):
        answer = http.get(path, headers=headers)
        assert answer.status_code == 200
        assert PASSWORD not in answer.text and TOKEN not in answer.text
    assert http.post("api/predict", content=files()["png"], headers=headers).json()[0]["label"] == "red"


def test_the_description_of_the_service_names_the_password(http):
    described = http.get("api/openapi.json", headers={"authorization": basic()}).json()
    assert described["components"]["securitySchemes"] == {"password": {"type": "http", "scheme": "basic"}}
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{"password": []}]
            assert "401" in operation["responses"]


def test_the_token_opens_the_service_alone(http):
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert http.post("api/predict", content=files()["png"], headers=headers).json()[0]["label"] == "red"
    assert http.get("config", headers=headers).status_code == 401


@pytest.mark.parametrize("way", ["headers", "auth"])
def test_gradios_client_gives_the_password(site, tmp_path, way):
    (tmp_path / "x.png").write_bytes(files()["png"])
    given = {"headers": {"Authorization": basic()}}
    if way == "auth":
        given = {"httpx_kwargs": {"auth": (USER.encode(), PASSWORD.encode())}}
    client = gradio_client.Client(site, verbose=False, download_files=str(tmp_path), **given)
    label, _ = client.predict(gradio_client.handle_file(tmp_path / "x.png"), api_name="/predict")
    assert label["label"] == "red"
    client.close()


def test_curl_gives_the_password(site, tmp_path):
    (tmp_path / "x.png").write_bytes(files()["png"])
    command = ["curl", "--silent", "--user", CREDENTIALS, "--data-binary", f"@{tmp_path}/x.png", f"{site}api/predict"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"NO_PROXY": "*"})
    except FileNotFoundError:
        pytest.skip("curl is not installed")
    assert '"label":"red"' in found.stdout


def test_the_public_name_is_accepted_and_others_are_not(http):
    headers = {"authorization": basic(), "host": PUBLIC.removeprefix("https://")}
    answer = http.get("", headers=headers | {"origin": PUBLIC})
    assert answer.status_code == 200
    frames = "frame-ancestors 'self' *.lab.example:* d0cafe.tunnel.example:*"
    assert frames in answer.headers["content-security-policy"]
    assert http.get("", headers=headers | {"host": "evil.example"}).status_code == 403
    assert http.get("api/models", headers=headers).status_code == 200


def check(access: Access, given: list[str], *, programs: bool = False, client: str = "10.0.0.1", **headers) -> None:
    asyncio.run(access.check(client, {"authorization": given} | headers, programs=programs))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "WRONG_SECONDS", 0.0)


@pytest.mark.parametrize(
    "given",
    [
        basic(f"{CREDENTIALS} "),
        basic(f"{USER}:{PASSWORD[:-1]}"),
        basic(f"Ä{CREDENTIALS[1:]}"),
        basic(""),
        "Basic",
        "Basic %%%",
        "Basic \xe9",
        f"Bearer {TOKEN}",
        f"Digest {PASSWORD}",
        "",
    ],
)
def test_wrong_credentials_are_refused(quick, given):
    with refused("auth", "wrong", kind=RequestError):
        check(Access(CREDENTIALS, TOKEN), [given])


def test_two_headers_are_refused_and_the_scheme_has_any_case(quick):
    with refused("auth", kind=RequestError):
        check(Access(CREDENTIALS), [basic(), basic()])
    check(Access(CREDENTIALS), [basic().replace("Basic", "bAsIc")])
    check(Access(CREDENTIALS, TOKEN), [f"Bearer {TOKEN}"], programs=True)
    with refused("auth", kind=RequestError):
        check(Access(CREDENTIALS), [f"Bearer {TOKEN}"], programs=True)


def test_a_wrong_password_is_answered_slowly_and_a_right_one_at_once(monkeypatch):
    monkeypatch.setattr(module, "WRONG_SECONDS", 0.3)
    access = Access(CREDENTIALS)
    began = time.monotonic()
    check(access, [basic()])
    assert time.monotonic() - began < 0.2
    began = time.monotonic()
    with refused("auth", kind=RequestError):
        check(access, [basic("a:b")])
    assert time.monotonic() - began >= 0.3


def test_after_ten_wrong_passwords_an_address_waits_and_others_do_not(quick, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    access = Access(CREDENTIALS)
    for _ in range(module.MAX_WRONG_GUESSES):
        with refused("auth", kind=RequestError):
            check(access, [basic("a:b")])
    for given in (basic("a:b"), basic()):  # also the right one: it would be a guess
        with refused("guesses", "60 seconds", kind=RequestError) as caught:
            check(access, [given])
        assert (caught.value.status, caught.value.retry_s) == (429, 60)
    check(access, [basic()], client="10.0.0.2")
    now[0] += module.GUESS_SECONDS + 1
    check(access, [basic()])


def test_the_number_of_counted_addresses_is_bounded(quick, monkeypatch):
    monkeypatch.setattr(module, "MAX_GUESSERS", 5)
    access = Access(CREDENTIALS)
    for number in range(20):
        with refused("auth", kind=RequestError):
            check(access, [basic("a:b")], client=f"10.0.0.{number}")
    assert len(access._wrong) == 5


@pytest.mark.parametrize(
    ("client", "forwarded", "guesser"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4"], "10.0.0.1"),
        ("127.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", ["x"], "unknown"),
        ("", [], "unknown"),
        ("2001:db8::1:2:3:4", [], "2001:db8::/64"),
        ("::ffff:1.2.3.4", [], "1.2.3.4"),
    ],
)
def test_whose_guesses_count_together(client, forwarded, guesser):
    assert guesser_of(client, {"x-forwarded-for": forwarded}) == guesser


def test_credentials_come_from_the_option_a_prompt_or_the_environment(monkeypatch):
    monkeypatch.delenv(module.AUTH, raising=False)
    assert credentials_from(None) is None
    monkeypatch.setenv(module.AUTH, "ann:environment")
    assert credentials_from("bob:an:option") == "bob:an:option"
    assert module.AUTH not in os.environ
    monkeypatch.setenv(module.AUTH, "ann:environment")
    assert credentials_from(None) == "ann:environment"
    monkeypatch.setattr(module, "getpass", lambda prompt: f"typed after {prompt}")
    assert credentials_from("bob") == "bob:typed after Password of bob: "

    def nobody(prompt):
        raise EOFError

    monkeypatch.setattr(module, "getpass", nobody)
    with refused("auth-terminal", kind=UsageError):
        credentials_from("bob")


def test_a_password_is_not_asked_for_without_a_terminal():
    command = [sys.executable, "-c", "from zoo_demo.access import credentials_from; credentials_from('bob')"]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, start_new_session=True, **pipes)
    assert "The password cannot be asked for without a terminal." in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("", "auth-user"),
        (":password1", "auth-user"),
        ("a\nb:password1", "auth-user"),
        ("ann:", "weak-password"),
        ("ann:short", "weak-password"),
        ("ann:aaaaaaaaaaaa", "weak-password"),
        ("ann:Ann-2026", "weak-password"),
        ("ann:line\nbreak-in-it", "weak-password"),
    ],
)
def test_weak_credentials_are_refused_without_repeating_them(given, code):
    with refused(code, kind=UsageError) as caught:
        credentials_from(given)
    password = given.partition(":")[2]
    assert not password or password not in str(caught.value)


def test_the_models_process_does_not_get_the_password(tmp_path):
    path = onnx_artifact(tmp_path / "model.onnx")
    given = {"ZOO_DEMO_AUTH": "ann:a secret word", "ZOO_SERVE_TOKEN": "a-secret-token-for-it"}
    with started([sys.executable, "-m", "zoo", "demo", str(path)], **given) as process:
        url = process.stdout.readline().split()[4]
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        children = [pid for task in tasks for pid in task.read_text().split()]
        assert children
        assert not [pid for pid in children if b"secret" in Path(f"/proc/{pid}/environ").read_bytes()]
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert http.get("").status_code == 401
            assert http.get("config", auth=("ann", "a secret word")).status_code == 200
            token = {"authorization": "Bearer a-secret-token-for-it"}
            assert http.get("api/models", headers=token).status_code == 200
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert "secret" not in out + err
