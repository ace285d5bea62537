"""Results show themselves: one line for people, and tables with escaped text in a notebook."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import zoo
from zoo.artifacts.predictor import Prediction, Predictor
from zoo.audit.problems import Problem
from zoo.data import ArrayPictures, Split
from zoo.evaluation.evaluation import Evaluation
from zoo.exporting.pipeline import Artifact
from zoo.parity.self_check import Finding
from zoo.parity.verify import Verification

from .cards import any_card

NASTY = "<script>alert(1)</script>\n\x1b[31m"


@pytest.fixture(scope="module")
def evaluation(trained) -> Evaluation:
    return zoo.evaluate(trained)


@pytest.fixture(scope="module")
def report(bars):
    return zoo.check(bars)


class Cells(HTMLParser):
    """The texts and the tags of a piece of HTML."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)


def test_a_run_shows_what_it_is_and_its_curves(trained):
    top1 = f"{trained.metrics['top1']:.2%}"
    assert repr(trained) == f"Run('{trained.path}': tiny on bars, 3 classes, test accuracy {top1})"
    shown = Cells(trained._repr_html_())
    assert {"tiny, weights: none", "bar, line, slope", "24 pixels", "test top1"} <= set(shown.texts)
    assert "img" in shown.tags


def test_a_predictor_and_its_answers(model, trained):
    predictor = zoo.load(model)
    assert repr(predictor) == f"Predictor('{trained.name}': onnx, fp32, 3 classes)"
    assert f"{trained.metrics['top1']:.2%} (test)" in Cells(predictor._repr_html_()).texts
    (found,) = predictor.predict([np.zeros((24, 24, 3), np.uint8)], top_k=2)
    (first, p), (second, q) = found.top
    assert repr(found) == f"Prediction('{first}' {p:.1%}, '{second}' {q:.1%})"
    assert {first, second, f"{p:.1%}", f"{q:.1%}"} <= set(Cells(found._repr_html_()).texts)


def test_an_artifact(tmp_path):
    card = any_card(parity={"max": 1.2e-6})
    artifact = Artifact(tmp_path / "m.onnx", "onnx", {"max": 1.2e-6, "covered": "18 pictures"}, card)
    assert repr(artifact) == (
        f"Artifact('{tmp_path / 'm.onnx'}': onnx, fp32, largest difference 1.2e-06 of the logits' spread)"
    )
    assert {"90.00% (test)", "18 pictures", "1.2e-06 of the logits' spread"} <= set(Cells(artifact._repr_html_()).texts)


def test_an_evaluation(evaluation):
    figures = evaluation.figures
    assert repr(evaluation) == (
        f"Evaluation(tiny on bars on 18 test pictures: accuracy {figures['top1']:.2%}, "
        f"macro F1 {figures['macro_f1']:.2%})"
    )
    shown = Cells(evaluation._repr_html_()).texts
    assert {"bar", "line", "slope", "18 test", f"{figures['ece']:.2%}"} <= set(shown)
    bare = dataclasses.replace(evaluation, title="")
    assert repr(bare).startswith("Evaluation(18 test pictures: ")


def test_a_report_of_a_check(report):
    warnings = len(report.problems)
    assert repr(report) == f"Report(bars: 156 pictures, 3 classes, 0 errors, {warnings} warning{'s' * (warnings != 1)})"
    assert {"train", "120", "val", "test", "18"} <= set(Cells(report._repr_html_()).texts)
    clean = dataclasses.replace(report, problems=())
    assert "No problems found." in clean._repr_html_()


def test_a_benchmark(model):
    found = zoo.bench([model], batch_sizes=[1], threads=[1], seconds=0.05)
    assert repr(found) == "Benchmark(model.onnx: 1 setting on cpu)"
    assert f"{found.good[0].throughput:.4g}" in Cells(found._repr_html_()).texts
    found.results[0].failure = "it fails"
    assert repr(found) == "Benchmark(model.onnx: 1 setting, 1 of them failed on cpu)"


def nasty(evaluation, report) -> list:
    """Results whose names come from an untrusted file or folder."""
    card = any_card(backbone=NASTY).model_copy(update={"name": NASTY, "classes": (NASTY, "b", "c")})
    finding = Finding(passed=None, summary=NASTY)
    problem = Problem(severity="error", kind="x", message=NASTY)
    return [
        Predictor(card, lambda _: None),
        Prediction(NASTY, 1.0, ((NASTY, 1.0),)),
        Artifact(zoo.Run, "onnx", {"max": 0.0, "covered": NASTY}, card),
        Verification(path=NASTY, card=card, findings={"hash": finding}),
        dataclasses.replace(evaluation, classes=(NASTY, "b", "c"), title=NASTY, notes=(NASTY,)),
        dataclasses.replace(report, problems=(problem,)),
    ]


def test_untrusted_text_is_escaped(evaluation, report):
    for result in nasty(evaluation, report):
        html = result._repr_html_()
        assert "&lt;script&gt;" in html
        assert "script" not in Cells(html).tags
        assert "\x1b" not in html
    predictor, prediction, *_ = nasty(evaluation, report)
    for result in (predictor, prediction):
        assert "\x1b" not in repr(result)
        assert "\n" not in repr(result)


def test_a_verification(tmp_path):
    findings = {
        name: Finding(passed=p, summary=f"S {name}.")
        for name, p in (("hash", True), ("numbers", False), ("data", None))
    }
    found = Verification(path=tmp_path, card=any_card(), findings=findings)
    assert repr(found) == f"Verification('{tmp_path}': hash passed, numbers FAILED, data not checked)"
    assert {"S hash.", "FAILED", "not checked"} <= set(Cells(found._repr_html_()).texts)


def test_a_class_without_pictures_does_not_break_the_tables():
    split = Split(ArrayPictures(np.zeros((2, 8, 8, 3), np.uint8)), np.array([0, 0]))
    logits = np.eye(3, dtype=np.float32)[:2]
    found = Evaluation(classes=("a", "b", "c"), split_name="given", split=split, logits=logits, indices=np.arange(2))
    assert repr(found).startswith("Evaluation(2 given pictures: accuracy 50.00%")
    assert "a" in Cells(found._repr_html_()).texts


def test_showing_a_run_imports_nothing_heavy(trained):
    program = (
        "import sys, zoo; run = zoo.Run(sys.argv[1]); before = set(sys.modules); repr(run); run._repr_html_();"
        "print(sorted({'torch', 'matplotlib', 'IPython'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program, trained.path], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
