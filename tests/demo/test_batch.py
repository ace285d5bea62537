"""Many pictures at once: what is asked, what is shown, and what is offered to download."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("gradio", reason="the demo extra is not installed")

from zoo.artifacts.predictor import Prediction, Predictor
from zoo.cli import app
from zoo.errors import ArtifactError, DataError, UsageError
from zoo_demo import batch as module
from zoo_demo.batch import Batch, Row, run, thumbnail
from zoo_demo.batch_html import MAX_MATRIX_CLASSES, batch_html, ended_html, figures_html, progress_html
from zoo_demo.given import Given, Picture, given
from zoo_demo.labelled import Figures, true_classes
from zoo_demo.limits import KEEP_SECONDS, MAX_BATCH_PICTURES, MAX_ZIPS
from zoo_demo.models import loaded
from zoo_demo.turns import Turns
from zoo_demo.uploads import Uploads
from zoo_serve.refusals import late

from ..refusals import refused
from .demo_server import NASTY, Fake, card, means

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (20, 40, 200)}


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), COLOURS[colour], np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def fake(tmp_path):
    model = Fake(Predictor(card(), means), str(tmp_path / "log"))

    def ask(kind, body, top_k, *, first):
        assert not first
        return model.ask(kind, body, top_k)

    return SimpleNamespace(ask=ask)


@pytest.fixture
def uploads(tmp_path):
    (tmp_path / "uploads").mkdir()
    return Uploads(tmp_path / "uploads")


def sent(uploads: Uploads, **files: bytes) -> str:
    """What the page sends for files of a visitor."""
    paths = []
    for name, data in files.items():
        path = uploads.new(name)
        path.write_bytes(data)
        paths.append(str(path))
    return json.dumps(paths)


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def pictures(*named: tuple[str, bytes]) -> Given:
    return Given([Picture(name, lambda data=data: data) for name, data in named])


def answered(given: Given, *services, language="en") -> Batch:
    *_, batch = run(given, services, 3, threading.Event(), language)
    return batch


def row(file: str, label: str, *, share: float = 0.9) -> Row:
    return Row(file, (Prediction(label, share, ((label, share),)),), (1.0,), png("red"))


def test_the_downloads_are_what_zoo_predict_prints(model, bars, uploads, tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    for number, path in enumerate(sorted((bars / "test").rglob("*.png"))):
        copied = folder / f"{path.parent.name}, \u00e9" / f"{number}.png"
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(folder)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}
    with (
        loaded([model]) as (shown,),
        given(sent(uploads, **{"all.zip": zipped(**files)}), uploads, "en") as pictures,
    ):
        batch = answered(pictures, shown.service)
    printed = {kind: CliRunner().invoke(app, ["predict", str(model), ".", f"--{kind}"]) for kind in ("csv", "json")}
    assert printed["csv"].exit_code == 1  # of the broken one
    assert len(batch.rows) == len(files) - 1
    assert [file for file, _ in batch.unread] == ["broken.png"]
    assert batch.csv(3) == printed["csv"].stdout
    assert batch.json() == printed["json"].stdout
    html = batch_html(batch, shown.card, "model", "en")
    found = re.findall(r"download='predictions\.(\w+)' href='data:[\w/]+;base64,([^']*)'", html)
    assert {kind: base64.b64decode(data) for kind, data in found} == {
        kind: result.stdout_bytes for kind, result in printed.items()
    }


def test_a_batch_without_answers_downloads_as_zoo_predict_prints_it():
    empty = Batch(0)
    assert empty.json() == "[]\n"
    assert empty.csv(2) == "file,label,probability,label_2,probability_2\n"


def test_files_and_zips_are_given_together(uploads):
    archive = zipped(**{"a/1.png": png("red"), "../2.png": png("red"), "x.txt": b"text"})
    paths = sent(uploads, **{"one.png": png("blue"), "many.ZIP": archive, "no.zip": b"no zip"})
    with given(paths, uploads, "en") as found:
        assert [picture.name for picture in found.pictures] == ["one.png", "many/../2.png", "many/a/1.png", "no.zip"]
        assert [picture.refused for picture in found.pictures] == [False, True, False, True]
        assert found.pictures[2].read() == png("red")
        assert found.skipped == 1
        with refused("damaged-zip", kind=DataError):
            found.pictures[3].read()
    with refused("damaged-zip-member", kind=DataError):  # it is closed
        found.pictures[2].read()
    assert {path.name for path in uploads.folder.rglob("*") if path.is_file()} == {
        "picture.png",
        "picture.ZIP",
        "picture.zip",
    }


@pytest.mark.parametrize("paths", ["", "[]", "{}", "1", "[1, null]", "[" * 100_000, None])
def test_nothing_given_is_told(uploads, paths):
    with refused("no-picture", kind=UsageError), given(paths, uploads, "en"):
        pass


def test_a_file_of_the_server_is_not_given(uploads, tmp_path):
    (tmp_path / "secret.zip").write_bytes(zipped(**{"a.png": png("red")}))
    with refused("missing-upload", kind=DataError), given(json.dumps([str(tmp_path / "secret.zip")]), uploads, "en"):
        pass


def test_a_single_zip_that_cannot_be_read_is_the_answer_and_too_many_pictures_too(uploads):
    with refused("damaged-zip", kind=DataError), given(sent(uploads, **{"a.zip": b"no"}), uploads, "en"):
        pass
    one = json.loads(sent(uploads, **{"a.png": png("red")}))
    with (
        refused("too-many-pictures", kind=DataError),
        given(json.dumps(one * (MAX_BATCH_PICTURES + 1)), uploads, "en"),
    ):
        pass


def test_many_zips_are_refused_because_all_of_them_are_open_at_once(uploads):
    one = json.loads(sent(uploads, **{"a.zip": zipped(**{"a.png": png("red")})}))
    with given(json.dumps(one * MAX_ZIPS), uploads, "en") as found:
        assert len(found.pictures) == MAX_ZIPS
    with refused("too-many-zips", kind=DataError), given(json.dumps(one * (MAX_ZIPS + 1)), uploads, "en"):
        pass


def test_uploads_do_not_go_while_their_batch_works(uploads, monkeypatch):
    with given(sent(uploads, **{"a.png": png("red")}), uploads, "en") as found:
        later = time.monotonic() + KEEP_SECONDS + 1
        monkeypatch.setattr("zoo_demo.uploads.time.monotonic", lambda: later)
        uploads.sweep()
        assert found.pictures[0].read() == png("red")
    uploads.sweep()
    assert not list(uploads.folder.iterdir())


def test_uploads_of_a_batch_go_where_others_need_the_room(uploads, monkeypatch):
    with given(sent(uploads, **{"a.png": png("red")}), uploads, "en") as found:
        later = time.monotonic() + KEEP_SECONDS + 1
        monkeypatch.setattr("zoo_demo.uploads.time.monotonic", lambda: later)
        uploads.quota = 0  # others need the room
        with refused("uploads-full"):
            uploads.new("b.png")
        with refused("missing-upload"):
            found.pictures[0].read()


def test_the_visitors_name_of_an_upload_is_text_and_bounded(uploads):
    name = "../../<b>" + "x" * 400 + ".png"
    path = uploads.new(name)
    path.write_bytes(b"")
    assert path.name == "picture.png"
    assert uploads.name(str(path)) == name[-255:]


def test_the_files_of_a_form_have_a_limit_together_and_are_kept_all_or_not_at_all(uploads, monkeypatch):
    from zoo_demo import routes

    monkeypatch.setattr(routes, "MAX_UPLOAD_BYTES", 10)
    sink = routes._Sink(uploads)
    for name in ("a.png", "b.png"):
        sink.begin(name)
        sink.data(b"x" * 5)
        sink.end()
    assert [uploads.name(str(path)) for path in sink.finished()] == ["a.png", "b.png"]
    sink.begin("c.png")
    with refused("uploads-too-large", "together", kind=DataError):
        sink.data(b"x")
    sink.discard()
    assert list(uploads.folder.iterdir()) == []
    one = routes._Sink(uploads)
    one.begin("a.png")
    with refused("upload-too-large", kind=DataError):
        one.data(b"x" * 11)
    one.discard()


def test_many_small_files_at_once_leave_turns_to_other_requests(uploads):
    from zoo_demo import routes

    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nbytes\r\n'

    class Form:
        headers = {"content-type": "multipart/form-data; boundary=x"}  # noqa: RUF012

        async def stream(self):
            yield part * 999 + b"--x--\r\n"

    async def turns() -> int:
        received, count = asyncio.create_task(routes._received(Form(), uploads, "", {})), 0
        while not received.done():
            count += 1
            await asyncio.sleep(0)
        assert len(await received) == 999
        return count

    assert asyncio.run(turns()) > 4


def test_a_batch_goes_on_behind_a_broken_picture_and_tells_how_far_it_is(fake, monkeypatch):
    monkeypatch.setattr(module, "STEP_SECONDS", 0)
    named = [("a.png", png("red")), ("b.png", b"broken"), ("c.png", png("blue"))]
    steps = [batch.done for batch in run(pictures(*named), [fake], 3, threading.Event(), "en")]
    assert steps == [0, 1, 2, 3, 3]
    batch = answered(pictures(*named), fake)
    assert [(row.file, row.predictions[0].label) for row in batch.rows] == [("a.png", "red"), ("c.png", "blue")]
    assert [(file, error.code) for file, error in batch.unread] == [("b.png", "unknown-picture-format")]
    assert "3 of 3" in progress_html(batch, "en")
    assert ended_html(batch, "en") == "<p>2 pictures have an answer. 1 picture has no answer.</p>"


def test_a_batch_can_be_stopped_and_ends_when_its_time_is_over(fake, monkeypatch):
    stopped = threading.Event()
    steps = run(pictures(*[("a.png", png("red"))] * 3), [fake], 3, stopped, "en")
    next(steps)
    stopped.set()
    *_, batch = steps
    assert (batch.done, batch.ended) == (0, "stopped")
    assert "Stopped after 0 of 3 pictures" in ended_html(batch, "en")
    monkeypatch.setattr(module, "BATCH_SECONDS", -1)
    assert answered(pictures(("a.png", png("red"))), fake).ended == "late"


def test_a_picture_that_waited_too_long_is_asked_again_and_a_model_that_fails_is_told(fake):
    tried = []

    def ask(kind, body, top_k, *, first):
        tried.append((top_k, first))
        if len(tried) == 1:
            raise late(60)
        if body == png("blue"):
            raise ArtifactError("It failed.", "Go.", code="model-failed")
        return SimpleNamespace(top=[("red", 1.0)], latency_ms=1.0, view=png("red"))

    named = [("a.png", png("red")), ("b.png", png("blue"))]
    batch = answered(pictures(*named), SimpleNamespace(ask=ask))
    assert tried == [(3, False)] * 3
    assert [row.file for row in batch.rows] == ["a.png"]
    assert [str(error) for _, error in batch.unread] == ["It failed. Go."]


def test_pictures_of_a_batch_wait_behind_programs_and_the_page_does_not(fake):
    asked, begun, go = [], threading.Event(), threading.Event()

    def ask(kind, body, top_k=5):
        asked.append(body)
        begun.set()
        go.wait(10)
        return SimpleNamespace(top=[("red", 1.0)])

    turns = Turns("x", SimpleNamespace(card=card(), service=SimpleNamespace(ask=ask, expected_seconds=0)))
    try:
        turns.submit(b"now", 1, 10)
        assert begun.wait(10)
        program = turns.submit(b"program", 1, 10)
        waiting = [
            threading.Thread(target=turns.ask, args=("file", body), kwargs={"first": first})
            for body, first in ((b"batch", False), (b"page", True))
        ]
        for number, thread in enumerate(waiting, start=2):
            thread.start()
            while len(turns._batcher._waiting) < number:
                pass
        go.set()
        program.result(10)
        for thread in waiting:
            thread.join(10)
    finally:
        turns.close()
    assert asked == [b"now", b"page", b"program", b"batch"]


def test_a_thumbnail_is_small_and_a_small_view_stays():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8))
    file = io.BytesIO()
    noise.save(file, "JPEG", quality=95)
    small = thumbnail(file.getvalue())
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.size == (72, 72)
    assert thumbnail(png("red")) == png("red")


def test_classes_are_known_where_all_folders_are_classes():
    classes = ["cat", "dog", "caf\u00e9"]
    assert true_classes(["cat/1.png", "dog/x/2.png"], classes) == ([0, 1], None)
    assert true_classes(["photos/test/dog/1.png", "photos/test/cafe\u0301/2.png"], classes) == ([1, 2], None)
    assert true_classes(["p/cat/1.png", "p/cow/2.png"], classes) == (None, "cow")
    assert true_classes(["cat/1.png", "2.png"], classes) == (None, None)
    assert true_classes(["a/1.png", "b/2.png"], classes) == (None, None)
    assert true_classes(["1.png"], classes) == (None, None)


def test_the_figures_are_those_of_zoo_evaluate(model, bars):
    from zoo import evaluate, load

    found = evaluate(model, str(bars))
    paths = sorted((bars / "test").rglob("*.png"))
    predictor = load(model)
    predicted = [predictor.classes.index(each.label) for each in predictor.predict(paths)]
    true, _ = true_classes([str(path.relative_to(bars)) for path in paths], predictor.classes)
    ours = Figures.of(predictor.classes, true, predicted)
    assert ours.counts.tolist() == found.counts.tolist()
    assert ours.right / ours.total == found.figures["top1"]
    html = figures_html(ours, "en")
    assert f"Accuracy {found.figures['top1']:.1%}" in html
    assert f"F1 {found.figures['macro_f1']:.1%}" in html


def test_the_matrix_has_the_classes_with_mistakes_where_there_are_too_many():
    classes = [f"c{number}" for number in range(5000)]
    true = [*range(100), 4000]
    predicted = [*range(100), 4999]
    figures = Figures.of(classes, true, predicted)
    assert figures.counts.shape == (102, 102)
    assert figures.confusions() == [("c4000", "c4999", 1)]
    html = figures_html(figures, "en")
    assert html.count("<tr>") == MAX_MATRIX_CLASSES + 1
    assert "The 30 of 102 classes" in html
    assert {"c4000", "c4999"} <= set(re.findall(r"<th scope='row'><bdi>(\w+)", html))
    assert "c4000 taken for c4999: 1 picture<" in html


def test_the_table_can_be_sorted_and_says_what_is_right():
    batch = Batch(2, rows=[row("red/1.png", "red", share=0.99999), row("blue/2.png", "red")])
    html = batch_html(batch, card(), "m", "en")
    assert html.count("aria-sort='none'><button type='button'>") == 5
    assert html.count("aria-sort='ascending'><button type='button'>Picture") == 1
    assert "<td data-value='0.99999'>&gt;99.9%</td>" in html
    assert ("\u2713 right" in html, "\u2717 wrong" in html, "Accuracy 50.0%" in html) == (True, True, True)
    one = batch_html(Batch(1, rows=[row("1.png", "red")]), card(), "m", "en")
    assert "Accuracy" not in one
    assert "Right?" not in one
    near = batch_html(Batch(2, rows=[row("red/1.png", "red"), row("rot/1.png", "red")]), card(), "m", "en")
    assert "no class &#x27;rot&#x27;" in near


def test_names_and_errors_are_text_in_both_languages():
    hostile = card(classes=(NASTY, "green", "blue"))
    files = [f"{NASTY}/\u202e1.png", f"{NASTY}/{'x' * 500}.png"]
    batch = Batch(3, rows=[row(file, NASTY) for file in files], unread=[(NASTY, DataError(f"{NASTY}.", NASTY))])
    for language in ("en", "zh"):
        html = batch_html(batch, hostile, NASTY, language) + ended_html(batch, language)
        assert "<script" not in html
        assert "<img src=x" not in html
        assert "\u202e" not in html
        assert "x" * 300 not in html


def test_every_text_has_both_languages_with_the_same_values():
    from zoo_demo.texts import all_texts

    for key, texts in all_texts().items():
        fields = {language: set(re.findall(r"{(\w+)", text)) for language, text in texts.items()}
        assert fields["en"] == fields["zh"], key


def test_a_page_of_a_thousand_pictures_is_small(fake):
    (one,) = answered(pictures(("a.png", png("red"))), fake).rows
    batch = Batch(1000, rows=[one] * 1000)
    assert len(batch_html(batch, card(), "m", "en")) < 2_000_000
