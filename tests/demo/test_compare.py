"""Models side by side: what each answers, where they disagree, how often."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.artifacts.predictor import Prediction, Predictor
from zoo.errors import DataError, UsageError
from zoo_demo.answers import Answers
from zoo_demo.batch import Batch, Row, run
from zoo_demo.compare import accuracy, agreement, chosen, disagreements, largest_difference, latency_ms, on_picture
from zoo_demo.compare_html import over_batch, side_by_side
from zoo_demo.models import Model
from zoo_demo.service import Answer
from zoo_demo.uploads import Uploads

from ..refusals import refused
from .demo_server import NASTY, Fake, card, means
from .test_batch import COLOURS, pictures, png, sent


def darkest(images: np.ndarray) -> np.ndarray:
    """Answers with the weakest colour."""
    return -means(images)


@pytest.fixture
def models(tmp_path) -> list[Model]:
    """Two that agree, one that never agrees with them, and one with the classes in another order."""
    cards = [card(), card(), card(), card(classes=("blue", "green", "red"))]
    answering = [means, means, darkest, lambda images: means(images)[:, ::-1]]
    found = []
    for number, (one, logits) in enumerate(zip(cards, answering, strict=True)):
        fake = Fake(Predictor(one, logits), str(tmp_path / "log"))
        service = SimpleNamespace(ask=lambda kind, body, top_k=5, *, first=True, fake=fake: fake.ask(kind, body, top_k))
        found.append(Model(f"m{number}", one, service))
    return found


def row(*labels: str, file: str = "a.png", ms: float = 1.0) -> Row:
    predictions = tuple(Prediction(label, 0.9, ((label, 0.9),)) for label in labels)
    return Row(file, predictions, (ms,) * len(labels), png("red"))


def answer(**top: float) -> Answer:
    return Answer([*top.items()], 8, 6, 28, 1.25, png("red"))


def test_two_to_four_models_are_chosen(models):
    answers = Answers([*models, Model("m4", card(), models[0].service)], None)
    assert chosen('["m2", "m0", "m2"]', answers, "en") == [models[2], models[0]]
    for titles in (
        "[]",
        '["m0"]',
        '["m0", "m0"]',
        json.dumps([f"m{n}" for n in range(5)]),
        "x",
        "{}",
        "[" * 9999,
        None,
    ):
        with refused("number-of-models", "two to 4", kind=UsageError):
            chosen(titles, answers, "en")
    with refused("unknown-model", kind=UsageError):
        chosen('["m0", "other"]', answers, "en")


def test_one_picture_goes_to_each_model_and_no_other_file_does(models, tmp_path):
    uploads = Uploads(tmp_path)
    (path,) = json.loads(sent(uploads, **{"a.png": png("red")}))
    found = on_picture(models, {"path": path}, uploads, "en")
    assert [each.top[0][0] for each in found] == ["red", "red", "green", "red"]
    assert on_picture(models, None, uploads, "en") == []
    (tmp_path / "secret.png").write_bytes(png("red"))
    with refused("missing-upload", kind=DataError):
        on_picture(models, {"path": str(tmp_path / "secret.png")}, uploads, "en")


def test_agreement_and_disagreement_are_said_in_words(models):
    html = side_by_side(models[:2], [answer(red=0.9, blue=0.1), answer(red=0.65, blue=0.35)], "en")
    assert "All models answer red. Their probabilities of red are at most 25.0 percentage points apart." in html
    assert "same classes" not in html
    apart = side_by_side(models[:3], [answer(red=0.9), answer(blue=0.9), answer(blue=0.8)], "en")
    assert "The models disagree: m1, m2: blue; m0: red." in apart
    assert "percentage points" not in apart  # not all say how probable red is
    assert apart.count("Answered in 1.2 ms") == 3


def test_the_largest_difference_is_of_the_first_models_class():
    assert largest_difference([answer(red=0.9, blue=0.1), answer(blue=0.6, red=0.4)]) == pytest.approx(0.5)
    assert largest_difference([answer(red=0.9), answer(blue=0.6)]) is None


def test_models_are_compared_by_the_names_of_classes(models):
    *_, batch = run(
        pictures(*[(f"{name}.png", png(name)) for name in COLOURS]),
        [model.service for model in models],
        3,
        threading.Event(),
        "en",
    )
    assert agreement(batch, 0, 1) == agreement(batch, 0, 3) == 1
    assert agreement(batch, 0, 2) == 0
    assert len(disagreements(batch)) == 3
    other = Model("other", card(classes=("red", "green", "yellow")), None)
    assert "do not have the same classes" in over_batch([models[0], other], Batch(1, rows=[row("red", "red")]), "en")
    assert "do not have the same classes" not in over_batch(models, batch, "en")


def test_over_a_batch_the_share_the_times_and_the_pictures_that_differ_are_shown(models):
    rows = [
        row("red", "red", file="red/1.png", ms=1),
        row("red", "blue", file="red/2.png", ms=2),
        row("blue", "blue", file="blue/3.png", ms=9),
    ]
    batch = Batch(4, rows=rows, unread=[("broken.png", DataError("It is broken.", "Go."))])
    assert (latency_ms(batch, 0), accuracy(batch, 0, models[0]), accuracy(batch, 1, models[1])) == (2, 1, 2 / 3)
    html = over_batch(models[:2], batch, "en")
    assert "Agreement 66.7%" in html
    assert "2 of 3 pictures" in html
    assert "<td>66.7%</td><td>\N{EN DASH}</td><td>2.0 ms</td><td>66.7%</td>" in html
    assert (html.count("<img"), "red/2.png" in html, "red/1.png" in html) == (1, True, False)
    assert "broken.png</bdi>: It is broken. Go." in html
    assert "Accuracy" not in over_batch(models[:2], Batch(1, rows=[row("red", "red")]), "en")
    nothing = over_batch(models[:2], Batch(1, unread=batch.unread), "en")
    assert "Agreement" not in nothing


def test_names_are_text(models):
    hostile = [Model(NASTY, card(classes=(NASTY, "b")), None), models[0]]
    batch = Batch(1, rows=[row(NASTY, "red", file=NASTY)])
    for language in ("en", "zh"):
        html = over_batch(hostile, batch, language)
        html += side_by_side(hostile, [answer(**{NASTY: 1.0}), answer(red=1.0)], language)
        assert "<script" not in html
        assert "<img src=x" not in html
