"""The card: what it holds, and what is refused in an untrusted card."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from base64 import b64encode
from functools import partial

import numpy as np
import pytest
from pydantic import create_model
from torch import nn

from zoo.artifacts.card import MAX_MISTAKES, MAX_REFERENCE_CLASSES, Card
from zoo.artifacts.examples import MAX_EXAMPLE_BYTES, MAX_EXAMPLES
from zoo.errors import ArtifactError, ExportError, UnreadablePictureError
from zoo.exporting.card_writing import facts_of, make_card
from zoo.exporting.examples import encoded
from zoo.models.classifier import Classifier
from zoo.parity.references import rounding_on
from zoo.parity.self_check import reference_outputs
from zoo.parity.synthetic import synthetic_pictures
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import MAX_CARD_BYTES, PreprocessSpec, WriteOptions, Written

from ..cards import any_card
from ..refusals import refused

card = partial(
    any_card,
    backbone_plugin="zoo-tiny 1.0",
    recipe={"epochs": 3, "mean": (0.5, 0.5, 0.5)},
    curves=[{"epoch": 1, "phase": "full", "val_loss": 0.5, "val_top1": None}],
    confusion={"right": (2, 3, 4), "support": (3, 3, 4), "answers": (2, 4, 4), "mistakes": ((0, 1, 1),)},
    parity={"max": 1e-6, "checks": [{"name": "logits"}]},
    reference={"pictures": 1, "logits": [(1.5, -2.0, 0.25)] * 6, "spread": 1.0, "tolerance": 1e-4},
    versions={"visionzoo": "1"},
)


def fields(**changes) -> dict:
    return json.loads(card().model_dump_json()) | changes


def test_a_card_comes_back_as_it_was_written():
    assert Card.parse(card().model_dump_json()) == card()
    assert (card().schema_version, str(card().backbone_plugin)) == (2, "zoo-tiny 1.0")


def test_a_sealed_card_is_read_in_any_layout_and_refused_with_any_other_content():
    sealed = json.loads(card().sealed())
    assert Card.parse(json.dumps(dict(reversed(sealed.items())), indent=1)) == card(card_hash=sealed["card_hash"])
    for change in ({"created": "2027-01-02"}, {"metrics": {"top1": 0.99, "num_pictures": 10}}, {"added": 1}):
        with refused("card-changed", kind=ArtifactError):
            Card.parse(json.dumps(sealed | change))


def test_a_card_of_version_1_is_still_read():
    old = fields(schema_version=1, backbone_plugin="zoo-tiny 1.0")
    for name in ("exported", "curves", "confusion", "reference", "precision", "input"):
        del old[name]
    found = Card.parse(json.dumps(old))
    assert (found.backbone_plugin.distribution, found.backbone_plugin.version) == ("zoo-tiny", "1.0")
    assert (found.reference, found.confusion, found.curves, found.precision) == (None, None, (), "fp32")


def deep(levels: int) -> dict:
    value: dict = {}
    for _ in range(levels):
        value = {"a": value}
    return value


SPEC = {"image_size": 24}
REFERENCE = {"pictures": 1, "logits": [[1.0, 2.0, 3.0]], "spread": 1.0, "tolerance": 0.1}
EXAMPLE = {"label": "red", "file": b64encode(encoded(np.zeros((2, 3, 3), np.uint8))).decode()}
CONFUSION = {"right": [1, 1, 1], "support": [1, 1, 1], "answers": [1, 1, 1], "mistakes": []}


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"schema_version": 99}, ("card-newer", "99", "pip install -U")),
        ({"schema_version": 0}, ("card-invalid", "at schema_version")),
        ({"schema_version": True}, ("card-invalid", "at schema_version")),
        ({"schema_version": None}, ("card-invalid", "at schema_version")),
        ({"classes": ["a", "a", "b"]}, ("card-class-twice", "at classes")),
        ({"classes": ["a", "b", "c\x1b[31m"]}, ("card-control-characters", "at classes")),
        ({"classes": ["a", "b", "c\n"]}, ("card-control-characters", "at classes")),
        ({"classes": ["a", "b", "c\u2028"]}, ("card-control-characters", "at classes")),
        ({"classes": ["a"]}, ("card-invalid", "at classes")),
        ({"classes": "abc"}, ("card-invalid", "at classes")),
        ({"input": "bytes"}, ("card-invalid", "at input")),
        ({"precision": "int4"}, ("card-invalid", "at precision")),
        ({"preprocess": SPEC | {"image_size": -1}}, ("card-image-size", "at preprocess", "4096")),
        ({"preprocess": SPEC | {"image_size": 10**9}}, ("card-image-size", "at preprocess", "4096")),
        ({"preprocess": SPEC | {"image_size": "24"}}, ("card-invalid", "at preprocess.image_size")),
        ({"preprocess": SPEC | {"crop_fraction": 0}}, ("card-crop-fraction", "at preprocess")),
        ({"preprocess": SPEC | {"crop_fraction": 5.0}}, ("card-crop-fraction", "at preprocess")),
        ({"preprocess": SPEC | {"std": [1, 0, 1]}}, ("card-mean-std", "at preprocess")),
        ({"preprocess": SPEC | {"mean": [1, 1]}}, ("card-invalid", "at preprocess.mean")),
        ({"preprocess": SPEC | {"resize": "nearest"}}, ("card-invalid", "at preprocess.resize")),
        ({"recipe": deep(10)}, ("card-too-deep", "at recipe")),
        ({"recipe": {"a": list(range(30_000))}}, ("card-too-many-values", "at recipe", "20000")),
        ({"recipe": {"a" * 300: 1}}, ("card-name", "at recipe")),
        ({"metrics": {"top1": "x" * 20_000}}, ("card-value", "at metrics")),
        ({"metrics": {"top1": 10**30}}, ("card-value", "at metrics")),
        ({"versions": {"\x1b]0;": 1}}, ("card-invalid", "versions.\ufffd]0;")),
        ({"versions": {str(i): "1" for i in range(300)}}, ("card-invalid", "at versions")),
        ({"curves": [{"epoch": 1}] * 2000}, ("card-invalid", "at curves")),
        ({"confusion": CONFUSION | {"right": [1, 1]}}, ("card-confusion-classes",)),
        ({"confusion": CONFUSION | {"mistakes": [[0, 3, 1]]}}, ("card-confusion-classes",)),
        ({"confusion": CONFUSION | {"mistakes": [[0, 1, -1]]}}, ("card-invalid", "at confusion")),
        ({"reference": REFERENCE | {"logits": [[1.0, 2.0]]}}, ("card-reference-classes",)),
        ({"reference": REFERENCE | {"logits": []}}, ("card-invalid", "at reference")),
        ({"reference": REFERENCE | {"tolerance": 1e9}}, ("card-invalid", "at reference.tolerance")),
        ({"reference": REFERENCE | {"spread": 0}}, ("card-invalid", "at reference.spread")),
        ({"name": "x" * 20_000}, ("card-invalid", "at name")),
        ({"examples": [EXAMPLE] * 25}, ("card-invalid", "at examples", "24")),
        ({"examples": [EXAMPLE | {"label": "violet"}]}, ("card-example-class",)),
        ({"examples": [EXAMPLE | {"label": 0}]}, ("card-invalid", "at examples.0.label")),
        ({"examples": [EXAMPLE | {"file": EXAMPLE["file"] + "A" * 180_000}]}, ("card-example-file", "128 KiB")),
        ({"examples": [EXAMPLE | {"file": EXAMPLE["file"] + "\n"}]}, ("card-example-file", "base64")),
        ({"examples": [EXAMPLE | {"file": EXAMPLE["file"][:-3]}]}, ("card-example-file", "base64")),
        ({"examples": [EXAMPLE | {"file": "PHN2Zz4="}]}, ("card-example-file", "neither PNG nor JPEG")),
        ({"examples": [EXAMPLE | {"file": ""}]}, ("card-example-file", "neither PNG nor JPEG")),
        ({"examples": [EXAMPLE | {"file": 7}]}, ("card-invalid", "at examples.0.file")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_untrusted_card_is_refused(changes, refusal):
    with refused(*refusal, kind=ArtifactError) as caught:
        Card.parse(json.dumps(fields(**changes)))
    assert caught.value.cause.isprintable()
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("place", "refusal", "instead"),
    [
        ('"max":1e-6', ("card-not-finite",), '"max":1e999'),
        ('"max":1e-6', ("card-constant", "NaN"), '"max":NaN'),
        ('"max":1e-6', ("card-name-twice",), '"max":1,"max":2'),
        ('"schema_version":2', ("card-name-twice",), '"schema_version":2,"schema_version":1'),
        ('"max":1e-6', ("card-too-deep",), '"max":' + "[" * 100_000),
        ('"max":1e-6', ("card-json", "JSON"), '"max":' + "9" * 5000),
        ('"name":"colours"', ("card-invalid", "at its top level"), '"name":"\\ud800"'),
    ],
    ids=["infinite", "nan", "twice", "version twice", "deep", "digits", "surrogate"],
)
def test_json_that_readers_take_differently_is_refused(place, refusal, instead):
    text = card().model_dump_json()
    assert place in text
    with refused(*refusal, kind=ArtifactError):
        Card.parse(text.replace(place, instead))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "card-json"),
        ("[]", "card-not-object"),
        ("3", "card-not-object"),
        ('"card"', "card-not-object"),
        ("{", "card-json"),
    ],
)
def test_text_that_is_not_a_card(text, code):
    with refused(code, "not valid JSON", kind=ArtifactError):
        Card.parse(text)


def png_of(width: int, height: int) -> bytes:
    """A PNG that declares a size, with the data of a small one."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    small = encoded(np.zeros((8, 8, 3), np.uint8))
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (png_of(513, 512), "too-many-pixels"),
        (png_of(60_000, 60_000), "too-many-pixels"),
        (png_of(100, 100), "truncated-picture"),
        (b"\xff\xd8\xff", "unknown-picture-format"),
    ],
    ids=["large", "bomb", "torn", "no picture"],
)
def test_an_example_that_cannot_be_decoded_does_not_hide_the_card(file, code):
    found = Card.parse(json.dumps(fields(examples=[{"label": "red", "file": b64encode(file).decode()}])))
    with refused(code, kind=UnreadablePictureError):
        found.examples[0].pixels()


def test_a_card_with_the_most_examples_is_far_from_its_limit():
    files = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
    for kind, start in files.items():
        own = {"label": "blue", "file": start + bytes(MAX_EXAMPLE_BYTES - len(start))}
        found = card(examples=[own] * MAX_EXAMPLES)
        assert len(found.sealed()) < MAX_CARD_BYTES / 3
        assert Card.parse(found.sealed()).examples == found.examples
        assert found.examples[0].media_type == kind


def test_older_versions_ignore_examples():
    before = {name: field for name, field in Card.model_fields.items() if name != "examples"}
    older = create_model("Older", **{name: (field.annotation, field) for name, field in before.items()})
    sealed = json.loads(card(examples=[{"label": "red", "file": EXAMPLE["file"]}]).sealed())
    assert sealed["schema_version"] == 2
    assert older.model_validate_json(json.dumps(sealed), strict=True).classes == ("red", "green", "blue")


def made(run: Run, **changes) -> Card:
    reference = card().reference
    run.info = dataclasses.replace(run.info, **changes)
    return make_card(
        facts_of(run),
        registry().exporter("onnx").spec,
        WriteOptions(input="tensor", precision="fp16"),
        Written(facts={"opset": 18}),
        parity={},
        reference=reference,
        content_hash="sha256:0",
    )


def test_a_card_is_made_of_a_run(trained):
    found = made(Run(trained.path))
    assert (found.input, found.precision, found.exported) == ("tensor", "fp16", {"opset": 18})
    assert [row["epoch"] for row in found.curves] == [1, 2, 3, 4, 5, 6]
    assert found.curves[0]["phase"] == "full"
    assert all(0 < row["val_loss"] < 5 for row in found.curves)
    assert sum(found.confusion.right) / sum(found.confusion.support) == trained.metrics["top1"]
    missed = sum(count for _, _, count in found.confusion.mistakes)
    assert sum(found.confusion.right) + missed == trained.metrics["num_pictures"] == 18
    assert Card.parse(found.model_dump_json()) == found


def test_a_run_of_an_older_version_has_no_counts(trained):
    run = Run(trained.path)
    run.info.confusion = None
    assert made(run).confusion is None


def test_long_curves_are_thinned_out(trained, monkeypatch):
    rows = [{"epoch": str(i), "val_loss": "nan", "note": ""} for i in range(2500)]
    monkeypatch.setattr(Run, "rows", lambda self: rows)
    found = made(Run(trained.path)).curves
    assert (len(found), found[0]["epoch"], found[-1]["epoch"]) == (1000, 0, 2499)
    assert found[0]["val_loss"] is None


def test_a_class_that_no_card_may_name_stops_the_export_with_a_sentence(trained):
    with refused("card-control-characters", "classes", kind=ExportError):
        made(Run(trained.path), classes=["bar", "line", "slo\npe"])


def test_another_machine_may_diverge_as_far_as_rounding_does():
    classifier = Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 3, 3)), "abc", PreprocessSpec(image_size=8), check=False
    )
    answers = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)

    def outputs(precision, rewriting=0.0, logit_std=1.0):
        runtimes = [lambda images, add=add: answers[images[:, 0, 0, 0]] + np.float32(add) for add in (0.0, rewriting)]
        return reference_outputs(
            runtimes, classifier.eval(), precision=precision, logit_std=logit_std, tolerance=1e-4
        ).tolerance

    assert (outputs("fp32"), outputs("fp16"), outputs("int8")) == (1e-4, 5e-2, 0.1)
    assert outputs("int8", rewriting=0.25) == pytest.approx(0.75, rel=1e-5)
    assert outputs("int8", rewriting=9) == 1
    rounding = max(rounding_on(classifier, picture[None]) for picture in synthetic_pictures(8))
    assert outputs("fp32", logit_std=rounding / 1e-2) == pytest.approx(4e-2)
    assert outputs("fp16", logit_std=rounding / 1e-5) == pytest.approx(2**14 * 1e-5)
    assert outputs("int8", logit_std=rounding / 1e-2) == 0.1


@pytest.mark.parametrize("num_classes", [1000, 100_000])
def test_many_classes_fit_into_a_card(num_classes):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(256, num_classes)).astype(np.float32)

    def runtime(images):
        return table[images[:, 0, 0, 0]]

    classifier = Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(24 * 24 * 3, 3)), "abc", PreprocessSpec(image_size=24), check=False
    )
    reference = reference_outputs([runtime] * 2, classifier, precision="fp32", logit_std=1.0, tolerance=1e-4)
    assert len(reference.logits[0]) == min(num_classes, MAX_REFERENCE_CLASSES)
    # Nine digits are all that float32 has.
    assert np.isin(np.float32(reference.logits[0]), table).all()
    counts = tuple(range(num_classes))
    mistakes = tuple((i % num_classes, (i + 1) % num_classes, 3) for i in range(MAX_MISTAKES))
    full = card(
        classes=tuple(f"class number {i}" for i in range(num_classes)),
        reference=reference,
        confusion={"right": counts, "support": counts, "answers": counts, "mistakes": mistakes},
    )
    assert Card.parse(full.model_dump_json()) == full
