"""`zoo_demo.guard`, `sessions` and the price of what waits, without a server."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio", reason="the demo extra is not installed")

from zoo_demo import guard, limits, sessions
from zoo_demo.answers import refuse_late
from zoo_demo.guard import ARRIVED, Guard, Refused
from zoo_demo.picture_tab import arrived
from zoo_demo.sessions import Sessions
from zoo_serve import bodies
from zoo_serve.hosts import Hosts

from ..refusals import refused

HOST = (b"host", b"127.0.0.1:7860")


def scope(method: str, path: str, *headers: tuple[bytes, bytes]) -> dict:
    return {"type": "http", "method": method, "path": path, "query_string": b"deep_link=x", "headers": [HOST, *headers]}


async def ask(app, scope: dict, *parts: bytes, waits: float = 0.0) -> tuple[int, dict]:
    """The status and the JSON of an answer; each part of the body comes after a wait."""
    left = list(parts) or [b""]
    sent = []

    async def receive():
        await asyncio.sleep(waits)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body or b"{}")


def guarded(inner, admit=lambda session: None) -> Guard:
    return Guard(inner, Hosts("127.0.0.1"), {3: 2}, {"predict": 3}, admit)


async def echo(scope, receive, send):
    """Answers with what it got."""
    body = (await receive()).get("body", b"") if scope["method"] == "POST" else b""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    answer = {"headers": headers, "query": scope["query_string"].decode(), "body": body.decode()}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def test_headers_that_gradio_trusts_do_not_reach_it():
    hostile = [
        (b"x-gradio-server", b"http://a:b"),
        (b"range", b"bytes=5-2"),
        (b"x-zoo-arrived", b"0"),
        (b"authorization", b"Basic YTpi"),
        (b"accept", b"*/*"),
    ]
    status, answer = asyncio.run(ask(guarded(echo), scope("GET", "/", *hostile)))
    assert status == 200
    assert answer["headers"] == {"host": "127.0.0.1:7860", "accept": "*/*"}
    assert answer["query"] == ""


def test_a_call_is_written_anew():
    sent = {"data": [{"path": "p", "meta": {"_type": "gradio.FileData"}, "url": "http://x"}, "m"], "event_data": 1}
    post = scope("POST", "/gradio_api/call/predict", (b"content-length", b"7"))
    _, answer = asyncio.run(ask(guarded(echo), post, json.dumps(sent).encode()))
    written = json.loads(answer["body"])
    assert written.keys() == {"data", "session_hash"}
    assert written["data"] == [{"path": "p"}, "m"]
    assert int(answer["headers"]["content-length"]) == len(answer["body"])
    assert time.monotonic() - float(answer["headers"][ARRIVED]) < 10


def test_a_slow_request_is_given_up(monkeypatch):
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.1)
    status, answer = asyncio.run(
        ask(guarded(echo), scope("POST", "/gradio_api/call/predict"), *[b" "] * 10, waits=0.05)
    )
    assert status == 408
    assert "too long to arrive" in answer["detail"]


def test_a_cancelled_call_stays_where_it_is():
    async def never(scope, receive, send):
        raise AssertionError

    body = b'{"session_hash": "s", "fn_index": 3, "event_id": "e"}'
    assert asyncio.run(ask(guarded(never), scope("POST", "/gradio_api/cancel"), body)) == (200, {"success": True})


def test_the_number_of_streams_is_bounded(monkeypatch):
    monkeypatch.setattr(guard, "MAX_STREAMS", 2)

    async def visit():
        free = asyncio.Event()

        async def streaming(scope, receive, send):
            await free.wait()
            await echo(scope, receive, send)

        app = guarded(streaming)
        asked = [asyncio.create_task(ask(app, scope("GET", "/gradio_api/queue/data"))) for _ in range(4)]
        await asyncio.sleep(0.05)
        free.set()
        first = [status for status, _ in await asyncio.gather(*asked)]
        return first, (await ask(app, scope("GET", "/gradio_api/queue/data")))[0]

    assert asyncio.run(visit()) == ([200, 200, 503, 503], 200)


def test_a_failure_of_gradio_is_one_line(capsys):
    async def failing(scope, receive, send):
        raise RuntimeError("secret\n" * 100)

    status, answer = asyncio.run(ask(guarded(failing), scope("GET", "/config")))
    assert status == 500
    assert "Reload the page" in answer["detail"]
    said = capsys.readouterr().err
    assert "secret" not in said
    assert said.count("\n") == 1


def test_who_is_turned_away_reads_why():
    def admit(session: str) -> None:
        raise Refused(503, f"Not you, {session}.", 7)

    body = json.dumps({"data": [None, "m"], "session_hash": "abc"}).encode()
    status, answer = asyncio.run(ask(guarded(echo, admit), scope("POST", "/gradio_api/call/predict"), body))
    assert (status, answer["detail"]) == (503, "Not you, abc.")


class Queue:
    """The parts of Gradio's queue that count."""

    def __init__(self) -> None:
        self.pending_messages_per_session: dict = {}
        self.pending_event_ids_session: dict[str, set[str]] = {}
        self.event_ids_to_events: dict = {}
        self.sent: list = []

    def send_message(self, event, message) -> None:
        self.pending_messages_per_session[event.session_hash].append(message)
        self.sent.append(message)

    def push(self, session: str, event: str, *, waits: bool) -> SimpleNamespace:
        self.pending_messages_per_session.setdefault(session, [])
        self.pending_event_ids_session.setdefault(session, set()).add(event)
        pushed = SimpleNamespace(session_hash=session)
        if waits:
            self.event_ids_to_events[event] = pushed
        return pushed


def test_nobody_who_waits_is_forgotten_however_many_others_come(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_ANSWERS", 10)
    queue = Queue()
    known = Sessions(queue)
    waiting = queue.push("waits", "first", waits=True)
    for number in range(100):
        assert known.make_room()
        queue.push(f"s{number}", f"e{number}", waits=False)
    assert len(queue.pending_event_ids_session) <= 10
    queue.send_message(waiting, "answer")
    assert queue.pending_messages_per_session["waits"] == ["answer"]
    assert known.count("waits") == 1


def test_a_message_to_somebody_forgotten_is_lost_and_breaks_nothing():
    queue = Queue()
    Sessions(queue)
    queue.send_message(SimpleNamespace(session_hash="gone"), "answer")
    assert queue.sent == []


def test_there_is_no_room_where_all_wait(monkeypatch):
    monkeypatch.setattr(sessions, "MAX_ANSWERS", 3)
    queue = Queue()
    known = Sessions(queue)
    for number in range(3):
        queue.push(f"s{number}", f"e{number}", waits=True)
    assert not known.make_room()


def test_answers_that_nobody_fetches_go_after_a_minute(monkeypatch):
    queue, now = Queue(), [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    known = Sessions(queue)
    queue.push("unread", "e", waits=False)
    queue.push("waits", "f", waits=True)
    known.make_room()
    assert known.count("unread") == 1
    now[0] += limits.ANSWER_SECONDS + 1
    known.make_room()
    assert (known.count("unread"), known.count("waits")) == (0, 1)


def test_who_waited_too_long_is_not_answered_any_more():
    late = SimpleNamespace(headers={ARRIVED: str(time.monotonic() - limits.MAX_WAIT_SECONDS - 1)})
    with refused("demo-busy", "60 seconds"):
        refuse_late(arrived(late), "en")
    refuse_late(arrived(SimpleNamespace(headers={ARRIVED: str(time.monotonic())})), "en")
    refuse_late(arrived(SimpleNamespace(headers={})), "en")
