"""The model card: all of a card as Markdown, and no untrusted text as markup."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image
from typer.testing import CliRunner

from zoo.artifacts.card import Card, DatasetCard
from zoo.artifacts.predictor import load
from zoo.cli import app
from zoo.errors import ArtifactError, UsageError
from zoo.images import read_picture
from zoo.models.classifier import Classifier
from zoo.registry import registry
from zoo.report.model_card import model_card, words
from zoo.specs import PreprocessSpec, WriteOptions

from ..cards import any_card

NASTY = (
    "<img src=x onerror=alert(1)>|`a` [b](https://c.d) ![e](f) **g** _h_ ~~i~~ &lt; $j$ <!-- k --> https://l.m www.n.o "
    "\\| \\` #"
)


card = partial(
    any_card,
    name="shapes",
    preprocess={"image_size": 24},
    backbone="tiny",
    backbone_plugin="zoo-tiny 1.0",
    classes=("circle", "square", "star"),
    dataset={"name": "shapes", "licence": "CC0"},
    recipe={"epochs": 3, "freeze_until": None},
    metrics={"top1": 0.9, "loss": 0.25, "ece": 0.01, "num_pictures": 1000},
    curves=[{"epoch": i, "train_loss": 1 / (i + 1), "lr": "x"} for i in range(40)],
    confusion={"right": (2, 3, 4), "support": (3, 3, 4), "answers": (2, 4, 4), "mistakes": ((0, 1, 1),)},
    exported={"opset": 18, "nodes": [1]},
    parity={"max": 1.5e-6, "checks": [{"name": "logits"}], "accuracy": {"classifier": 0.9, "artifact": 0.89}},
    versions={"visionzoo": "1"},
)


def rendered(markdown: str) -> tuple[list[str], str]:
    """The types of all tokens of a Markdown reader with GitHub's tables and strikethrough, and the text it shows."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    flat = [inner for token in tokens for inner in (token, *(token.children or ()))]
    return [token.type for token in flat], "".join(token.content for token in flat if token.type == "text")


def rows_of(markdown: str, title: str) -> list[list[str]]:
    section = markdown.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")][2:]


def test_the_page_tells_the_card():
    page = model_card(card())
    assert page.startswith("# shapes\n\nAn image classifier for 3 classes: circle, square, star.\n")
    assert ["accuracy", "90.00%"] in rows_of(page, "Figures")
    assert "on 1,000 pictures of the test split" in page
    assert rows_of(page, "Classes")[0] == ["circle", "80.0%", "100.0%", "66.7%", "3"]
    assert rows_of(page, "Confusion") == [["circle", "2", "1", "0"], ["square", "0", "3", "0"], ["star", "0", "0", "4"]]
    epochs = [row[0] for row in rows_of(page, "Training") if row[0].isdigit()]
    assert (len(epochs), epochs[0], epochs[-1]) == (12, "0", "39")
    assert ["max", "1.5e-06"] in rows_of(page, "Parity")
    assert ["accuracy: artifact", "0.89"] in rows_of(page, "Parity")
    assert ["export: opset", "18"] in rows_of(page, "What it is")
    assert ["licence of the pictures", "CC0"] in rows_of(page, "Data and licences")
    assert "sha256:0" in page
    assert "freeze" not in page
    assert "no test split" not in page


def test_what_an_old_card_does_not_hold_is_left_out():
    page = model_card(card(curves=(), confusion=None, metrics={}, metrics_split="", parity={}, schema_version=1))
    for title in ("Classes", "Confusion", "Figures", "Parity"):
        assert f"## {title}\n" not in page
    assert "The card has no answers" in page


def test_many_classes_show_the_most_frequent_mistakes():
    counts = tuple(range(1, 101))
    confusion = {"right": counts, "support": (101,) * 100, "answers": (101,) * 100}
    mistakes = [(i, i + 1, 90 - i) for i in range(90)]
    page = model_card(card(classes=[f"c{i}" for i in range(100)], confusion=confusion | {"mistakes": mistakes}))
    assert rows_of(page, "Confusion")[0] == ["c0", "c1", "90"]
    assert len(rows_of(page, "Confusion")) == 20
    assert len(rows_of(page, "Classes")) == 50
    assert "And 50 more classes with a higher F1." in page


def hostile() -> Card:
    texts = dict.fromkeys(
        ("name", "format", "created", "backbone", "backbone_plugin", "weights", "weights_licence", "metrics_split"),
        NASTY,
    )
    tables = {name: {NASTY: NASTY} for name in ("recipe", "versions", "exported")}
    tables["parity"] = {NASTY: NASTY, "accuracy": {NASTY: NASTY}}
    metrics = dict.fromkeys(("top1", "top5", "macro_f1", "loss", "num_pictures"), NASTY)
    dataset = DatasetCard(name=NASTY, source=NASTY, licence=NASTY, notes=(NASTY, "# a\n\n- b\n\n```\n<b>"))
    curves = [{"epoch": NASTY, "phase": NASTY, "val_loss": "1\n2"}]
    classes = [NASTY, "|", "- a\u202eb"]
    more = {"dataset": dataset, "curves": curves, "classes": classes, "metrics": metrics, "content_hash": NASTY}
    return card(**texts, **tables, **more)


def test_untrusted_text_is_text():
    plain, shown = rendered(model_card(card()))[0], rendered(model_card(hostile()))
    # Only tables grow; no kind of token appears that the page of an honest card does not have.
    assert set(shown[0]) - set(plain) <= {"text_special"}
    for kind in ("heading_open", "bullet_list_open", "list_item_open", "fence"):
        assert shown[0].count(kind) == plain.count(kind), kind
    assert "html_inline" not in plain
    assert "\u202e" not in shown[1]
    columns = {
        title: {len(row.replace(r"\|", "").split("|")) for row in section.splitlines() if row.startswith("|")}
        for title, section in (part.split("\n", 1) for part in model_card(hostile()).split("\n## ")[1:])
    }
    assert columns["Confusion"] == {6}
    assert columns["Classes"] == {7}


@pytest.mark.parametrize("text", [NASTY, "a|b\\|c\\\\|d", "`` ` ``", "[x]: y", "<a@b.c>", "&amp;", "#", "a\\"])
def test_words_are_shown_as_they_are(text):
    tokens = (
        MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"| a | b |\n|-|-|\n| x {words(text)} | c |")
    )
    cells = [token for token in tokens if token.type == "inline"]
    assert [cell.content == "c" for cell in cells] == [False, False, False, True]
    assert {inner.type for inner in cells[2].children} <= {"text", "text_special"}
    assert "".join(inner.content for inner in cells[2].children) == f"x {text}"


def test_words_are_one_bounded_line():
    assert words("a\n\n# b\r\n\tc\x1b[0m\x00") == "a \\# b c\ufffd\\[0m\ufffd"
    assert len(words("x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("name", "options", "spec"),
    [
        ("onnx", WriteOptions(), {}),
        ("onnx", WriteOptions(input="tensor"), {"crop_fraction": 0.875, "channels": "grey"}),
        ("onnx", WriteOptions(input="tensor"), {"resize": "squash"}),
        ("onnx", WriteOptions(input="tensor"), {"resize": "shorter", "crop_fraction": 0.875}),
        ("onnx", WriteOptions(input="tensor"), {"resize": "shorter", "crop_fraction": 0.9, "interpolation": "bicubic"}),
        ("onnx", WriteOptions(input="tensor"), {"crop_fraction": 0.875, "interpolation": "bicubic"}),
        ("torchscript", WriteOptions(), {}),
        pytest.param("pt2", WriteOptions(), {}, marks=pytest.mark.slow),
        pytest.param("pt2", WriteOptions(input="tensor"), {}, marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "input", value)),
)
def test_the_lines_of_code_run_and_answer_as_zoo_does(trained, tmp_path, name, options, spec):
    picture = tmp_path / "picture.jpg"
    pixels = np.random.default_rng(5).integers(0, 256, (41, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)

    exporter = registry().exporter(name).spec
    how = PreprocessSpec(image_size=24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), **spec)
    classifier = Classifier(trained.classifier().network, trained.classes, how, check=False).eval()
    path = tmp_path / f"model{exporter.suffix}"
    exporter.write(classifier, path, options)
    own = card(
        format=name,
        input=options.input,
        preprocess=how,
        classes=trained.classes,
        content_hash=exporter.content_hash(path),
    )
    exporter.write_card(path, own.model_dump_json())
    code = model_card(own).split("```python\n")[1].split("```")[0]
    assert "zoo" not in code.replace('"zoo.card"', "")
    probe = "\nprint(json.dumps(logits.tolist()))"
    done = subprocess.run(
        [sys.executable, "-c", code + probe], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    label, logits = done.stdout.splitlines()
    (expected,) = load(path).predict([picture])
    assert label == expected.label
    answers = load(path).logits([read_picture(picture)])
    # Pillow rounds bicubic pixels to 8 bits.
    tolerance = 0.01 * answers.std() if how.interpolation == "bicubic" else 1e-4
    np.testing.assert_allclose(json.loads(logits), answers, atol=tolerance)


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["info", *map(str, arguments)])


def test_the_command_writes_it_whole_or_not_at_all(trained, tmp_path):
    exporter = registry().exporter("onnx").spec
    path = tmp_path / "model.onnx"
    exporter.write(trained.classifier(), path, WriteOptions())
    exporter.write_card(path, card(name="a\nname \x1b[31m").model_dump_json())
    done = run_zoo(path, "--model-card", tmp_path / "card.md")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == model_card(card(name="a\nname \x1b[31m"))
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "card.md"}
    assert "\x1b" not in done.stdout
    assert "circle for square (1)" in done.stdout
    for wrong in (tmp_path, tmp_path / "absent" / "card.md"):
        assert isinstance(run_zoo(path, "--model-card", wrong).exception, UsageError)
    assert isinstance(run_zoo("tiny", "--model-card", tmp_path / "b.md").exception, UsageError)
    (tmp_path / "damaged.onnx").write_bytes(path.read_bytes()[:100])
    assert isinstance(run_zoo(tmp_path / "damaged.onnx", "--model-card", tmp_path / "c.md").exception, ArtifactError)
    assert not (tmp_path / "c.md").exists()
