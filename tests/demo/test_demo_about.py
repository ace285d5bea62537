"""The tab about a model: its card in words and plots, and the check of its file."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import closing
from html.parser import HTMLParser

import pytest

from zoo.artifacts.predictor import load, read_card
from zoo.parity.verify import verify, verify_loaded
from zoo.registry import registry
from zoo_demo.about_html import SHOWN_CLASSES, about_html, checks_html
from zoo_demo.about_plots import _ticks
from zoo_demo.answers import Answers
from zoo_demo.models import Model
from zoo_demo.service import Checked, Service

from ..cards import any_card
from ..parity.test_verify import content_of
from ..refusals import refused
from .demo_server import NASTY

TAGS = {"section", "h2", "h3", "p", "details", "summary", "ul", "li", "dl", "dt", "dd", "div", "strong", "span"} | {
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption"),
    *("svg", "path", "text", "g", "polyline", "circle", "rect"),
}


class Tags(HTMLParser):
    """The elements and the names of attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words.append(data)


def curves(epochs: int = 3, **more) -> list[dict]:
    return [
        {"epoch": i + 1, "phase": "full", "train_loss": 1 / (i + 1), "val_loss": 1.5 / (i + 1), "val_top1": i / 10}
        | {"learning_rate": 1e-3}
        | more
        for i in range(epochs)
    ]


def confusion(size: int) -> dict:
    return {
        "right": [9] * size,
        "support": [10] * size,
        "answers": [10] * size,
        "mistakes": [[i, (i + 1) % size, 1] for i in range(size)],
    }


def full(**changes):
    classes = changes.setdefault("classes", ("red", "green", "blue"))
    fields = {
        "preprocess": {"image_size": 28, "crop_fraction": 0.875},
        "dataset": {"name": "paints", "source": "the shop", "licence": "CC BY 4.0", "notes": ["Only dry paint."]},
        "weights": "imagenet",
        "weights_licence": "BSD-3-Clause",
        "recipe": {"epochs": 3, "optimizer": "adamw", "image_size": None, "stages": {"a": [1, 2]}},
        "metrics": {"top1": 0.9, "loss": 0.3, "num_pictures": 30},
        "curves": curves(),
        "confusion": confusion(len(classes)),
        "parity": {
            "max": 1e-6,
            "top1_agreement": 1.0,
            "pictures": 40,
            "checks": [{"name": "logits", "passed": True, "covered": "120 logits", "worst": 1e-6, "allowed": 1e-4}],
        },
        "versions": {"onnx": "1.23.2"},
        "content_hash": "sha256:abc",
        "card_hash": "sha256:def",
    }
    return any_card(**(fields | changes))


def test_the_card_is_told_in_words():
    read = Tags(about_html(full(), "en"))
    words = " ".join(" ".join(read.words).split())
    for part in (
        "All 3 classes red green blue",
        "Licence of the pictures CC BY 4.0",
        "Note Only dry paint.",
        "Licence of the initial weights BSD-3-Clause",
        "on 30 pictures of the test split. Accuracy 90.00%",
        "Confusion matrix One row per true class",
        "red 9 1 0",
        "logits differ by at most 1.0e-06 of their spread, 100.00% get the same class, on 40 pictures",
        "logits PASSED 120 logits 1e-06 0.0001",
        "the centred square, 0.875 of the shorter side, resized to 28 by 28 pixels",
        "optimizer adamw",
        'stages {"a": [1, 2]}',
        "onnx 1.23.2",
        "Content hash sha256:abc",
        "Hash of the card sha256:def",
    ):
        assert part in words
    assert read.tags <= TAGS
    assert "image size" not in words  # an option that was not given


def test_the_plots_have_texts_and_a_table():
    html = about_html(full(), "en")
    assert "aria-label='Loss: training from 1 to 0.333; validation from 1.5 to 0.5'" in html
    assert "aria-label='Accuracy: validation from 0% to 20%'" in html
    assert html.count("<svg viewBox='0 0 320 200' role='img'") == 3
    assert "<th scope='row'>3</th><td class='name'>full</td><td>0.3333</td><td>0.5000</td><td>20.00%</td>" in html
    assert "role='img'" not in about_html(full(curves=[]), "en")


@pytest.mark.parametrize(
    ("size", "counted", "drawn"), [(3, 6, 0), (20, 40, 0), (21, 0, 42), (100, 0, 200), (101, 0, 0)]
)
def test_a_matrix_is_shown_as_its_size_allows(size, counted, drawn):
    html = about_html(full(classes=tuple(f"c{i}" for i in range(size))), "en")
    assert html.count("<span class='count") == counted
    assert html.count("<rect") == drawn
    assert html.count("<tr><th scope='row' class='name'>c0</th><td class='name'>c1</td><td>1</td></tr>") == 1
    alt = f"Confusion matrix of {size} classes: {9 * size:,} of {10 * size:,} pictures on the diagonal."
    assert (alt in html) is bool(drawn)


def test_classes_are_listed_up_to_a_limit():
    many = SHOWN_CLASSES + 5
    html = about_html(full(classes=tuple(f"c{i}" for i in range(many)), confusion=None), "en")
    assert "All 2,005 classes" in html and "And 5 more." in html
    assert html.count("<li>") == SHOWN_CLASSES


def test_a_card_of_an_old_file_leaves_sections_out():
    html = about_html(any_card(metrics={}), "en")
    titles = re.findall(r"<h2>([^<]*)</h2>", html)
    assert titles == ["Classes", "Data", "Network and weights", "Figures", "Input and precision", "Integrity"]
    assert "not recorded: ask the maker of the model" in html
    assert "Accuracy not measured" in html


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("size", [3, 30])
def test_an_untrusted_card_stays_text(language, size):
    hostile = {NASTY: NASTY, "list": [NASTY], "top1": NASTY, "loss": NASTY, "max": NASTY, "accuracy": {NASTY: NASTY}}
    names = dict.fromkeys(
        ("name", "format", "created", "backbone", "weights", "weights_licence", "metrics_split"), NASTY
    )
    hostile_card = full(
        **names,
        classes=tuple(f"{NASTY}{i}" for i in range(size)),
        dataset={"name": NASTY, "source": NASTY, "licence": NASTY, "notes": [NASTY]},
        recipe=hostile,
        metrics=hostile,
        exported=hostile,
        parity=hostile | {"checks": [NASTY, {"name": NASTY, "covered": NASTY, "worst": NASTY, "passed": NASTY}, {}]},
        curves=curves(phase=NASTY, val_top1=NASTY),
        versions={NASTY: NASTY},
        content_hash=NASTY,
        card_hash=NASTY,
    )
    read = Tags(about_html(hostile_card, language))
    assert read.tags <= TAGS
    assert not [name for name in read.attributes if name.startswith("on")]
    assert " ".join(read.words).count(NASTY[:20]) > 15
    checked = Tags(checks_html(NASTY, [Checked(NASTY, None, NASTY), Checked("hash", True, NASTY)], language))
    assert checked.tags <= TAGS


@pytest.mark.parametrize(
    "value", [True, float("nan"), float("inf"), 10**400, "<b>", None, [1]], ids=lambda v: repr(v)[:9]
)
def test_figures_that_are_none_are_left_out_of_the_plots(value):
    card = full()
    row = dict.fromkeys(("train_loss", "val_loss", "val_top1", "learning_rate", "phase"), value)
    odd = card.model_copy(
        update={"curves": (row, *card.curves), "metrics": dict.fromkeys(("top1", "num_pictures"), value)}
    )
    html = about_html(odd, "en")
    assert "Loss: training from 1 to 0.333" in html
    assert "Measured for the trained network, on unknown pictures" in html
    assert Tags(html).tags <= TAGS
    assert "role='img'" not in about_html(card.model_copy(update={"curves": (row,)}), "en")


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.1, 0.9), (0, 0), (-3, 12), (5e-324, 5e-324), (1, 1 + 2**-52), (-(2.0**62), 2.0**62), (0.0005, 0.00054)],
)
def test_ticks_lie_around_the_values_and_are_few(low, high):
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + 1e-9 * abs(low)
    assert ticks[-1] >= high - 1e-9 * abs(high)


@pytest.mark.parametrize(
    ("results", "said"),
    [((True, True), "PASSED: the file of m"), ((True, False), "FAILED: the file of m"), ((True, None), "Not all of")],
)
def test_a_result_is_a_word_and_a_mark(results, said):
    html = checks_html("m", [Checked(*each, "Why.") for each in zip(("hash", "numbers"), results, strict=True)], "en")
    assert said in html
    words = {True: "PASSED", False: "FAILED", None: "not checked"}
    marks = {True: "✓", False: "✗", None: "?"}
    for result in results:
        assert (
            f"<strong class='result'><span aria-hidden='true'>{marks[result]}</span> {words[result]}</strong>" in html
        )
    assert "<th scope='row' class='name'>Content hash</th>" in html


def test_a_loaded_file_is_checked_as_zoo_verify_does(model, tmp_path, artifacts_here):
    path = tmp_path / "model.onnx"
    shutil.copy(model, path)
    predictor = load(path)
    here, there = verify_loaded(path, predictor), verify(path)
    assert here.passed
    assert {name: found.passed for name, found in here.findings.items()} == {"hash": True, "numbers": True}
    assert here.findings["hash"] == there.findings["hash"]
    assert here.findings["numbers"].summary == there.findings["numbers"].summary
    reference = predictor.card.reference
    shifted = tuple(tuple(value + 1 for value in row) for row in reference.logits)
    rewritten(path, reference=reference.model_copy(update={"logits": shifted}))
    assert verify_loaded(path, predictor).findings["numbers"].passed is False
    rewritten(path, reference=reference)
    predictor.runtime = None
    assert "does not run" in verify_loaded(path, predictor).findings["numbers"].summary
    rewritten(path, reference=None)
    assert verify_loaded(path, predictor).findings["numbers"].passed is None


def rewritten(path, **changes):
    card = read_card(path).model_copy(update=changes)
    path.write_bytes(content_of(path))
    registry().exporter_for(path).spec.write_card(path, card.sealed())


def test_the_models_process_checks_its_file_and_answers_again(model, tmp_path):
    path = tmp_path / "model.onnx"
    shutil.copy(model, path)
    with closing(Service(path, "cpu", 30.0)) as service:
        answers = Answers([Model("m", read_card(path), service)], uploads=None)
        assert [(each.name, each.passed) for each in answers.check("m", "en")] == [("hash", True), ("numbers", True)]
        rewritten(path, content_hash="sha256:0")
        found = {each.name: each for each in answers.check("m", "en")}
        assert (found["hash"].passed, found["numbers"].passed) == (False, True)
        assert "changed after the export" in found["hash"].summary
        path.unlink()
        with refused("missing-file", "'model.onnx' does not exist") as caught:
            answers.check("m", "en")
        assert str(tmp_path) not in str(caught.value)
        os.kill(service._child.process.pid, signal.SIGSTOP)
        service._limit = 0.1
        with refused("check-late", "zoo verify"):
            answers.check("m", "en")
