"""The headers of the demo's answers: what a browser may do because of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re

import pytest

pytest.importorskip("gradio", reason="the demo extra is not installed")

from zoo_demo.guard import Guard
from zoo_demo.headers import NOTHING, frames, page_policy, secured
from zoo_serve.hosts import Hosts

from .test_demo_guard import scope

httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")

HOSTS = Hosts("127.0.0.1")


def sha(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def directives(policy: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, policy.split(";"))}


def test_of_inline_scripts_those_of_the_page_alone_may_run():
    html = b"""<script>one('</b>')</script><SCRIPT data-x>
two</SCRIPT><script type="module" src="./a.js">old</script><script></script>"""
    found = directives(page_policy(html, HOSTS))
    assert found["script-src"][:2] == ["'self'", "'unsafe-eval'"]
    assert set(found["script-src"][2:]) == {sha("one('</b>')"), sha("\ntwo"), sha("")}
    assert found["default-src"] == ["'none'"]
    assert found["form-action"] == ["'none'"]
    assert "'unsafe-inline'" not in found["script-src"]
    assert not [each for name in found for each in found[name] if "*" in each or "http" in each]


def test_pages_of_allowed_hosts_alone_may_frame_it():
    names = ("demo.example", "*.app.example", "10.0.0.1", "fe80::1")
    assert frames(Hosts("127.0.0.1", names)) == ["demo.example:*", "*.app.example:*", "10.0.0.1:*"]
    assert frames(Hosts("127.0.0.1", ("*",))) == ["*"]
    assert directives(page_policy(b"", HOSTS))["frame-ancestors"] == ["'self'"]


def test_a_stricter_policy_of_an_answer_stays():
    own = [(b"Content-Security-Policy", b"default-src 'none'"), (b"x", b"y")]
    headers = secured(own, NOTHING)
    assert headers[:2] == own
    assert [value for name, value in headers if name.lower() == b"content-security-policy"] == [b"default-src 'none'"]


async def answered(kind: bytes, *parts: bytes, path: str = "/") -> tuple[dict[str, str], bytes]:
    """The headers and the body of an answer that came in parts."""
    sent: list[dict] = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        for index, part in enumerate(parts):
            more = index < len(parts) - 1
            await send({"type": "http.response.body", "body": part, "more_body": more})

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    guard = Guard(inner, HOSTS, {}, {}, lambda session: None, head="<script>added</script>")
    await guard(scope("GET", path), receive, send)
    assert sent[0]["type"] == "http.response.start"
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(message["body"] for message in sent[1:])


def test_a_page_comes_whole_with_the_policy_of_its_scripts():
    headers, body = asyncio.run(answered(b"text/html; charset=utf-8", b"<script>a", b"b</script>"))
    assert body == b"<script>ab</script>"
    policy = directives(headers["content-security-policy"])
    assert set(policy["script-src"][2:]) == {sha("ab"), sha("added")}
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=(self)" in headers["permissions-policy"]
    assert "microphone=()" in headers["permissions-policy"]


@pytest.mark.parametrize("path", ["/config", "/nothing", "/gradio_api/info", "/assets/a.js"])
def test_everything_else_may_do_nothing(path):
    headers, _ = asyncio.run(answered(b"application/json", b"{}", path=path))
    assert headers["content-security-policy"] == NOTHING
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_hostile_card_adds_no_script_to_the_page(site):
    with httpx.Client(base_url=site, trust_env=False) as http:
        page = http.get("")
    assert "alert(3)" in page.text  # the title of the second model
    inline = re.findall(r"(?is)<script(?![^>]*src=)[^>]*>(.*?)</script", page.text)
    holding = [text for text in inline if "alert(3)" in text]
    assert holding and all(text.startswith(("window.gradio_config = {", "window.gradio_api_info")) for text in holding)
    policy = directives(page.headers["content-security-policy"])
    hashes = {each for each in policy["script-src"] if each.startswith("'sha256-")}
    assert {sha(text) for text in inline} < hashes
    assert len(hashes) == len(inline) + 1  # and `retry.js`
