"""Hostile uploads and requests: each gets a clear answer, and the next picture is answered."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

from zoo.errors import UnreadablePictureError
from zoo.images import read_picture
from zoo_serve.forms import FORM
from zoo_serve.limits import MAX_PIXELS, MAX_UPLOAD_BYTES
from zoo_serve.refusals import status_of

from ..attacks.uploads import UPLOADS
from .service import form, png, served

SAMPLE = 36  # of the uploads; all of them with `pytest -m slow`
CHEAP = [name for name, upload in UPLOADS.items() if upload.seconds <= 2 and upload.mib <= 100]
NASTY = "<img src=x onerror=alert(1)>"
NAMES = [
    NASTY,
    "a\0b\x1b[31m.png",
    "../../etc/passwd",
    "C:\\x.png",
    "\u202egnp.exe",
    "a" * 2000,
    "\ud7ff\u4e2d",
    "%00",
]
REQUESTS = {
    "no-body": ("POST", "/predict", b"", {}),
    "zero-bytes": ("POST", "/predict", bytes(64), {}),
    "html-named-png": ("POST", "/predict", b"<html><script>alert(1)</script>", {"content_type": "image/png"}),
    "svg": ("POST", "/predict", b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"content_type": "image/svg+xml"}),
    "json": ("POST", "/predict", b'{"path": "/etc/passwd"}', {"content_type": "application/json"}),
    "an-address": ("POST", "/predict", b"http://127.0.0.1:8000/metrics", {}),
    "a-path": ("POST", "/predict", b"/etc/passwd", {}),
    "length-lies-high": ("POST", "/predict", png(), {"content_length": "9" * 30}),
    "length-is-text": ("POST", "/predict", b"", {"content_length": "x"}),
    "length-has-other-digits": ("POST", "/predict", b"", {"content_length": "\u00b2"}),
    "model-is-markup": ("POST", f"/predict?model={NASTY}", png(), {}),
    "model-is-a-path": ("POST", "/predict?model=../../etc/passwd", png(), {}),
    "model-is-long": ("POST", f"/predict?model={'x' * 50_000}", png(), {}),
    "parameter-is-markup": ("POST", f"/predict?{NASTY}=1", png(), {}),
    "top-k-is-huge-text": ("POST", f"/predict?top_k={'1' * 5000}", png(), {}),
    "unknown-method": ("BREW", "/predict", b"", {}),
    "unknown-route": ("GET", "/static/../../etc/passwd", b"", {}),
    "route-with-zero-byte": ("GET", "/models\0", b"", {}),
    "foreign-page": ("POST", "/predict", png(), {"origin": "http://evil.example"}),
    "form-without-boundary": ("POST", "/predict", png(), {"content_type": FORM}),
    "form-of-another-boundary": ("POST", "/predict", form(("a", b""))[0], {"content_type": f"{FORM}; boundary=x"}),
    "type-is-long": ("POST", "/predict", png(), {"content_type": "a/" * 10_000}),
    "encoded-twice": ("POST", "/predict", png(), {"content_encoding": "gzip, gzip"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def service():
    with served() as running:
        yield running
        assert running.state.admission.waiting == 0
        assert running.state.admission._bytes == 0
        assert running.state.metrics.in_flight == 0


@pytest.fixture(autouse=True)
def still_answers(service):
    yield
    assert service.predict(png("blue")).json[0]["label"] == "blue"


def refused_clearly(answer) -> None:
    assert 400 <= answer.status < 500
    error = answer.json["error"]
    assert set(error) == {"code", "cause", "remedy"}
    assert all(error.values())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "passwd" not in answer.body.decode()
    assert len(answer.body) < 1000


def ask_upload(service, name):
    upload = UPLOADS[name]
    data = upload.build()
    answer = service.predict(data)
    if isinstance(upload.comes, tuple):
        assert answer.status == 200
        return
    refused_clearly(answer)
    if len(data) > MAX_UPLOAD_BYTES:
        assert answer.code == "upload-too-large"
        return
    with pytest.raises(UnreadablePictureError) as decoded:
        read_picture(data, max_pixels=MAX_PIXELS)
    assert answer.status == status_of(decoded.value)
    assert answer.json["error"]["cause"] == decoded.value.cause


@pytest.mark.parametrize("name", random.Random(21).sample(CHEAP, SAMPLE))
def test_upload(service, name):
    ask_upload(service, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", UPLOADS)
def test_every_upload(service, name):
    ask_upload(service, name)


@pytest.mark.parametrize("name", REQUESTS)
def test_request(service, name):
    method, target, body, named = REQUESTS[name]
    refused_clearly(service.ask(method, target, body, **named))


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_files_are_text(service, name):
    body, kind = form((name, png()), (name, b"text"))
    answer = service.predict(body, content_type=kind)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    row, other = answer.json
    assert row["label"] == "red"
    assert other["error"]["code"] == "unknown-picture-format"
    assert len(row["file"]) <= 255
    assert not set(answer.body) & set(range(32))
