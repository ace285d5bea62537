"""`POST /predict`: the answers of `zoo predict`, one run for pictures that wait together, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

from zoo.artifacts.predictor import load
from zoo.cli import app as zoo_app
from zoo_serve.limits import MAX_FILES, Limits
from zoo_serve.predictions import _Files

from ..corpus.pictures import all_modes
from .service import Served, form, means, png, served


@pytest.fixture(scope="module")
def service():
    with served(names=("colours", "other")) as running:
        yield running


class Gate:
    """A runtime that waits until it is opened."""

    def __init__(self, runtime=means) -> None:
        self.runtime, self.entered, self.opened = runtime, threading.Event(), threading.Event()

    def __call__(self, images):
        self.entered.set()
        assert self.opened.wait(30)
        return self.runtime(images)


def at_the_gate(gate: Gate, service: Served, requests):
    """Sends a picture, and while the model is busy with it, the requests; gives the answers to all of them."""

    async def run():
        first = asyncio.ensure_future(service.send("POST", "/predict", png("red", (3, 3))))
        while not gate.entered.is_set():
            await asyncio.sleep(0.005)
        others = [asyncio.ensure_future(service.send(*request)) for request in requests]
        await asyncio.sleep(0.3)
        gate.opened.set()
        return [await each for each in (first, *others)]

    return asyncio.run(run())


def test_the_answers_are_those_of_zoo_predict(model, tmp_path):
    files = []
    for picture in all_modes():
        files.append(tmp_path / f"{picture.what}.{picture.suffix}")
        files[-1].write_bytes(picture.data)
    said = CliRunner().invoke(zoo_app, ["predict", str(model), *map(str, files), "--json"]).stdout
    predictor = load(model)
    with served(predictor.runtime, card=lambda: predictor.card) as running:
        answers = []
        for start in range(0, len(files), MAX_FILES):
            body, kind = form(*((str(file), file.read_bytes()) for file in files[start : start + MAX_FILES]))
            answers += running.predict(body, content_type=kind).json
        one = running.predict(files[0].read_bytes()).json
    expected = json.loads(said)
    assert len(expected) == len(files) > 60
    assert len(running.runs) < len(files) / 4
    for want, got in zip(expected, answers, strict=True):
        assert list(got) == list(want)
        assert (got["file"], got["label"]) == (want["file"], want["label"])
        assert [each["label"] for each in got["top"]] == [each["label"] for each in want["top"]]
        for a, b in zip(got["top"], want["top"], strict=True):
            assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)
    assert one[0]["label"] == expected[0]["label"]


def test_the_body_is_one_picture_or_a_form_of_several(service):
    assert service.predict(png("blue"), "?top_k=1").json == [
        {"file": "picture", "label": "blue", "probability": pytest.approx(1, abs=1e-3), "top": [
            {"label": "blue", "probability": pytest.approx(1, abs=1e-3)}]}
    ]  # fmt: skip
    body, kind = form(("a.png", png("lime")), ("b.txt", b"text"), ("", b""))
    rows = service.ask("POST", "/predict", body, content_type=kind, chunks=7).json
    assert [row.get("label") for row in rows] == ["green", None, None]
    assert [row["file"] for row in rows] == ["a.png", "b.txt", ""]
    assert [row["error"]["code"] for row in rows[1:]] == ["unknown-picture-format", "empty-picture"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?model=other", 200, ""),
        ("?top_k=99999999999999999999", 200, ""),
        ("?model=othr", 404, "unknown-model"),
        ("?model=", 404, "unknown-model"),
        ("?top_k=0", 400, "top-k"),
        ("?top_k=-1", 400, "top-k"),
        ("?top_k=1.5", 400, "top-k"),
        ("?top_k=%C2%B2", 400, "top-k"),
        (f"?top_k={'9' * 5000}", 400, "top-k"),
        ("?topk=3", 400, "unknown-parameter"),
    ],
)
def test_parameters_are_read_strictly(service, query, status, code):
    answer = service.predict(png(), query)
    assert answer.status == status
    assert status == 200 or answer.code == code
    if status == 200:
        assert len(answer.json[0]["top"]) == 3


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("image/png", 200),
        ("application/octet-stream", 200),
        ("application/x-www-form-urlencoded", 200),
        ("", 200),
        ("application/json", 415),
        ("text/html", 415),
        ("multipart/mixed; boundary=limit", 415),
    ],
)
def test_types_of_bodies(service, kind, status):
    assert service.predict(png(), content_type=kind).status == status


def test_a_compressed_body_is_refused(service):
    assert service.predict(png(), content_encoding="gzip").code == "content-encoding"


def test_pictures_that_wait_together_share_a_run():
    gate = Gate()
    with served(gate, decoders=1) as running:  # two would hand the pictures on in any order
        requests = [("POST", f"/predict?top_k={number % 3 + 1}", png(colour, size)) for number, (colour, size) in
                    enumerate([("red", (6, 4)), ("blue", (8, 8)), ("lime", (6, 4)), ("blue", (6, 4))])]  # fmt: skip
        answers = at_the_gate(gate, running, requests)
    assert running.runs == [(1, 3, 3, 3), (3, 4, 6, 3), (1, 8, 8, 3)]
    assert [answer.json[0]["label"] for answer in answers[1:]] == ["red", "blue", "green", "blue"]
    assert [len(answer.json[0]["top"]) for answer in answers[1:]] == [1, 2, 3, 1]


def test_a_full_queue_says_when_to_come_again():
    gate = Gate()
    with served(gate, limits=Limits(waiting=3)) as running:
        answers = at_the_gate(gate, running, [("POST", "/predict", png())] * 5)
        assert running.predict(png()).status == 200
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert answers[-1].code == "queue-full"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_form_enters_the_queue_as_a_whole_or_not_at_all():
    with served(limits=Limits(waiting=3)) as running:
        running.state.admission.elsewhere = lambda: 1
        body, kind = form(*[("a.png", png())] * 3)
        assert running.predict(body, content_type=kind).status == 429
        running.state.admission.elsewhere = lambda: 0
        assert running.state.admission.waiting == 0
        assert running.runs == []
        body, kind = form(*[("a.png", png())] * 4)
        never = running.predict(body, content_type=kind)
        assert (never.status, never.code) == (413, "too-many-files")
        assert "retry-after" not in never.headers


def test_a_request_that_waited_too_long_is_not_run():
    gate = Gate()

    async def run(running):
        first = asyncio.ensure_future(running.send("POST", "/predict", png("red", (3, 3))))
        while not gate.entered.is_set():
            await asyncio.sleep(0.005)
        running.state.limits = Limits(seconds=0.25)
        late = await running.send("POST", "/predict", png())
        assert (late.status, late.code) == (504, "deadline")
        assert running.state.admission.waiting == 1
        running.state.limits = Limits()
        gate.opened.set()
        return await first

    with served(gate) as running:
        assert asyncio.run(run(running)).status == 200
        assert running.predict(png("blue", (9, 9))).json[0]["label"] == "blue"
    assert running.runs == [(1, 3, 3, 3), (1, 9, 9, 3)]


def test_a_sender_that_left_costs_no_run(caplog):
    gate = Gate()

    async def run(running):
        left = asyncio.Event()
        first = asyncio.ensure_future(running.send("POST", "/predict", png("red", (3, 3))))
        while not gate.entered.is_set():
            await asyncio.sleep(0.005)
        gone = asyncio.ensure_future(running.send("POST", "/predict", png(), leave=left))
        await asyncio.sleep(0.1)
        assert running.state.admission.waiting == 2
        left.set()
        assert (await gone).status == 499
        assert running.state.admission.waiting == 1
        gate.opened.set()
        assert (await first).status == 200

    with served(gate) as running:
        asyncio.run(run(running))
        assert running.predict(png("lime", (9, 9))).status == 200
    assert running.runs == [(1, 3, 3, 3), (1, 9, 9, 3)]
    gc.collect()
    assert caplog.records == []


def test_a_picture_that_the_model_fails_on_does_not_take_others_with_it():
    def failing(images):
        logits = means(images)
        logits[logits.argmax(1) == 2] = np.nan
        return logits

    gate = Gate(failing)
    with served(gate) as running:
        answers = at_the_gate(gate, running, [("POST", "/predict", png(colour)) for colour in ("red", "blue", "lime")])
    assert [answer.status for answer in answers] == [200, 200, 500, 200]
    assert answers[2].code == "logits-not-finite"


def test_an_error_of_the_service_is_one_line_without_a_traceback(capsys):
    with served() as running:
        running.state.models["colours"].submit = lambda *_: 1 / 0
        answer = running.predict(png())
    assert (answer.status, answer.code) == (500, "failed")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    with served(limits=Limits(file_bytes=1000)) as running:
        assert running.predict(b"", content_length="1001").code == "upload-too-large"
        assert running.predict(bytes(1001), chunks=3).status == 413
        body, kind = form(("a.png", png()), ("b.png", bytes(1001)))
        assert running.predict(body, content_type=kind).status == 413
        large = running.predict(b"", content_length="256000001", content_type=kind)
        assert large.json["error"]["cause"] == "The request has more than 256 MB."


def test_a_body_of_many_small_pieces_takes_the_memory_of_its_bytes():
    size = 400_000
    files = _Files(size)
    files.begin("a.png")
    tracemalloc.start()
    for start in range(0, size, 2):
        files.data(start.to_bytes(4, "little")[:2])
    files.end()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(body) for body in files.bodies] == [size]
    assert peak < 1.5 * size


def test_the_bytes_of_all_requests_are_bounded():
    with served() as running:
        running.state.admission._most_bytes = 2000
        with running.state.admission.held() as held:
            held.grow(1950)
            assert running.predict(png()).code == "queue-full"
        assert running.predict(png()).status == 200
        assert running.state.admission._bytes == 0


def test_decoded_pictures_that_wait_are_bounded():
    gate = Gate()
    with served(gate) as running:
        decoder = running.state.models["colours"]._decoder
        decoder._most = 60
        answers = at_the_gate(gate, running, [("POST", "/predict", png("red", (6, 6)))] * 6)
    assert [answer.status for answer in answers] == [200] * 7
    assert max(count for count, *_ in running.runs) == 1
    assert decoder._used == 0


def test_a_form_has_files_and_not_too_many():
    with served() as running:
        for body, code in (
            (form(*[("a.png", b"")] * (MAX_FILES + 1))[0], "too-many-files"),
            (form()[0], "form-without-file"),
            (form(("a.png", png()))[0][:-9], "incomplete-form"),
            (b"--limit\r\nA: " + b"b" * 9999, "damaged-form"),
            (b"nothing", "damaged-form"),
            (b"", "incomplete-form"),
        ):
            answer = running.predict(body, content_type="multipart/form-data; boundary=limit")
            assert answer.code == code
            assert answer.status == (413 if code == "too-many-files" else 400)
