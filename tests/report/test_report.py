"""The report: complete, escaped, on its own, and drawn whole or not at all."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from zoo.data import ArrayPictures, FilePictures, Split
from zoo.evaluation.evaluation import Evaluation
from zoo.report.page import SHOWN_CLASSES, SHOWN_MISTAKES, write_report
from zoo.report.plots import plot_confusion, plot_curves, plot_reliability

NASTY = ("<script>alert(1)</script>", 'a" onerror="x', "$x$ & 漢字", "\udcff\x07")
ROWS = [
    {
        "epoch": number,
        "phase": "head" if number < 3 else "finetune",
        "learning_rate": 0.001,
        "train_loss": 1 / number,
        "val_loss": 1.1 / number,
        "train_top1": 0.5,
        "val_top1": 0.4,
    }
    for number in range(1, 6)
]


class Page(HTMLParser):
    """The tags, attributes and text of a document; its tags must be closed in order."""

    VOID = frozenset({"meta", "img", "source", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.said.append(data)

    @property
    def words(self) -> str:
        return " ".join(self.said)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def evaluation(classes=("cat", "dog", "owl"), count=30, *, wrong=6, unreadable=(), pictures=None) -> Evaluation:
    """`wrong` of `count` pictures are taken for the next class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(classes)
    answers = np.where(np.arange(count) < wrong, (labels + 1) % len(classes), labels)
    logits = rng.normal(size=(count, len(classes))).astype(np.float32)
    logits[np.arange(count), answers] += 6
    pictures = pictures or ArrayPictures(rng.integers(0, 256, (count, 8, 8), dtype=np.uint8))
    return Evaluation(
        classes=tuple(classes),
        split_name="test",
        split=Split(pictures, labels),
        logits=logits,
        indices=np.arange(count),
        unreadable=tuple(unreadable),
    )


def page_of(tmp_path, found: Evaluation, **options) -> Page:
    path = tmp_path / "report.html"
    write_report(path, found, **{"title": "tiny on pets", "sections": {}, **options})
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["report.html"]
    return Page(path.read_text(encoding="utf-8"))


def test_a_training_leaves_a_report_of_everything(trained):
    page = Page((trained.path / "report.html").read_text(encoding="utf-8"))
    words = page.words
    assert f"{trained.metrics['top1']:.2%}" in words
    assert f"{trained.metrics['macro_f1']:.2%}" in words
    assert f"{trained.metrics['ece']:.2%}" in words
    for fact in (*trained.classes, "tiny (zoo-tiny 1.0)", trained.info.versions["torch"], "full", "24 pixels"):
        assert fact in words
    alternatives = " ".join(image["alt"] for image in page.all("img"))
    for drawing in ("Confusion matrix of 3", "Reliability", "Loss over 6", "Accuracy over 6", "Learning rate over 6"):
        assert drawing in alternatives
    assert not list(trained.path.glob(".*"))


def test_it_loads_nothing_and_runs_nothing(tmp_path):
    page = page_of(tmp_path, evaluation(), rows=ROWS, sections={"Data": {"licence": "https://example.org/by"}})
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a", "base", "form"}
    sources = [attributes[key] for _, attributes in page.tags for key in ("src", "srcset", "href") if key in attributes]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in page.all("meta")[1]["content"]
    style = (tmp_path / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_names_paths_and_files_are_text(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    paths = []
    for index in range(8):
        paths.append(folder / f"'{index}.png")
        Image.new("RGB", (9, 5)).save(paths[-1])
    found = evaluation(NASTY, 8, wrong=8, pictures=FilePictures(paths), unreadable=["<i>torn</i>"])
    page = page_of(
        tmp_path,
        found,
        title="<u>title</u>",
        notes=["<b>note</b>"],
        sections={"<h1>head": {"<em>key": "</main><svg onload=alert(1)>"}},
        rows=[{**row, "phase": "<p>"} for row in ROWS],
    )
    assert not {tag for tag, _ in page.tags} & {"script", "u", "b", "i", "em", "svg"}
    assert not [attributes for _, attributes in page.tags if {"onerror", "onload"} & set(attributes)]
    for text in (
        "<script>alert(1)</script>",
        "<u>title</u>",
        "<b>note</b>",
        "<i>torn</i>",
        "<em>key",
        "漢字",
        "\ufffd",
    ):
        assert text in page.words
    assert any("<img src=x" in image["alt"] for image in page.all("img"))


def test_every_picture_has_words_and_is_a_picture(tmp_path):
    page = page_of(tmp_path, evaluation(), rows=ROWS)
    images = page.all("img")
    assert len(images) == 5 + 6
    for image in images:
        assert image["alt"]
        decoded = Image.open(BytesIO(b64decode(image["src"].partition(",")[2])))
        decoded.load()
        assert decoded.width >= 100
    dark, light = [source["srcset"] for source in page.all("source")], [image["src"] for image in images]
    assert len(dark) == 5  # each plot once more for dark screens
    assert not set(dark) & set(light)


def test_the_most_confident_mistakes_come_first_with_both_classes(tmp_path):
    found = evaluation(count=90, wrong=40)
    page = page_of(tmp_path, found)
    assert len(page.all("figure")) == SHOWN_MISTAKES
    assert "The 24 most confident of 40 mistakes" in page.words
    index, true, guess, sure = found.mistakes()[0]
    first = page.words.split("Wrong labels show up here first.")[1].split("%")[0]
    assert first.split() == [found.classes[true], "predicted:", found.classes[guess], f"{sure:.1%}".rstrip("%")]
    assert f"picture {index}" in next(image["alt"] for image in page.all("img") if "The picture" in image["alt"])


def test_without_mistakes_it_says_so(tmp_path):
    page = page_of(tmp_path, evaluation(wrong=0))
    assert "every test picture was classified correctly" in page.words
    assert "No picture was misclassified" in page.words


def test_many_classes_are_all_there_behind_a_fold(tmp_path):
    names = [f"class {index}" for index in range(SHOWN_CLASSES + 15)]
    page = page_of(tmp_path, evaluation(names, 70))
    assert "15 more classes" in page.words
    assert all(name in page.words for name in names)


def test_an_interrupted_report_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.report.page.plot_reliability", interrupt)
    with pytest.raises(KeyboardInterrupt):
        page_of(tmp_path, evaluation())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]


def test_a_report_that_cannot_be_drawn_loses_no_figures(bars, tmp_path, monkeypatch, capsys):
    from zoo.training.api import train

    def fail(*_, **__):
        raise ValueError("no ink")

    monkeypatch.setattr("zoo.report.page.plot_reliability", fail)
    options = {"epochs": 1, "image_size": 16, "augment": "none"}
    run = train("tiny", bars, output=tmp_path / "run", progress=True, **options)
    assert "could not be drawn: no ink" in capsys.readouterr().err
    info = json.loads((run.path / "run.json").read_text())
    assert (info["status"], info["metrics"]["num_pictures"]) == ("finished", 18)
    assert not (run.path / "report.html").exists()
    assert not list(run.path.glob(".*"))


def drawn(draw, *arguments, **options) -> Image.Image:
    buffer = BytesIO()
    draw(*arguments, buffer, **options)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS[:1],
        [{name: str(value) for name, value in row.items()} for row in ROWS],
        [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "val_top1": ""}],
        [{**ROWS[0], "learning_rate": 0.0}],
    ],
)
def test_curves_of_any_rows(rows):
    assert drawn(plot_curves, rows).width > 1000
    assert drawn(plot_curves, rows, which=["loss"]).width < 600


def test_phases_are_marked_where_they_change():
    plain = drawn(plot_curves, [{**row, "phase": "full"} for row in ROWS])
    assert np.asarray(plain).tobytes() != np.asarray(drawn(plot_curves, ROWS)).tobytes()


@pytest.mark.parametrize("size", [2, 31, 250])
@pytest.mark.parametrize("dark", [False, True])
def test_confusion_of_any_size_on_any_ground(size, dark):
    picture = drawn(plot_confusion, np.eye(size, dtype=np.int64) * 3, [f"$c{i}" for i in range(size)], "A", dark=dark)
    assert (np.asarray(picture)[0, 0] < 64).all() == dark


def test_the_reliability_diagram_shows_what_it_is_given():
    good = evaluation(wrong=0).calibration
    bad = evaluation(wrong=25).calibration
    assert np.asarray(drawn(plot_reliability, good)).tobytes() != np.asarray(drawn(plot_reliability, bad)).tobytes()


def test_the_style_serves_dark_screens_and_narrow_ones(tmp_path):
    page_of(tmp_path, evaluation())
    text = (tmp_path / "report.html").read_text()
    assert re.search(r"@media \(prefers-color-scheme: dark\)", text)
    assert "width=device-width" in text
