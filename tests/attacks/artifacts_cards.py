"""Cards with false claims, cards that steer the terminal of their reader, and files that are not regular."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo.artifacts.card import DatasetCard
from zoo.specs import PreprocessSpec
from zoo_exporters import onnx_file

from .attack import TAKEN, Artifact
from .graphs import card, means, model, node, text, write

NASTY = "\x1b[2J\x1b]0;title\x07<script>alert(1)</script>"
BIDI = "\u202egnp.tac\u202c<img src=x onerror=alert(1)>"


def claims(name: str, comes: tuple[str, ...] = (), /, **changes: Any) -> Artifact:
    """A sound graph whose card says something else; and what card, load and predict come to."""
    return Artifact(f"card-{name}.onnx", lambda path: write(path, sound(), **changes), *comes)


def sound() -> Any:
    return model([*means(), node("Identity", "means", "logits")])


def raw(path: Path, value: str) -> None:
    """The graph with that text for its card."""
    entry = onnx_file.field(1, b"zoo.card") + onnx_file.field(2, value.encode())
    path.write_bytes(sound().SerializeToString() + onnx_file.field(14, entry))


def bent(name: str, refusal: str, /, **changes: Any) -> Artifact:
    """A card with values that no card has."""
    return Artifact(f"card-{name}.onnx", lambda path: raw(path, text(card(), **changes)), card=refusal)


def twice(path: Path) -> None:
    entry = onnx_file.field(14, onnx_file.field(1, b"zoo.card") + onnx_file.field(2, text(card()).encode()))
    path.write_bytes(sound().SerializeToString() + 2 * entry)


def hole(path: Path, size: int = 2**31) -> None:
    """A file of zeros that takes no place on the disk."""
    with path.open("wb") as file:
        os.truncate(file.fileno(), size)


def hole_in(path: Path) -> None:
    """A graph after a description of two gigabytes of zeros."""
    with path.open("wb") as file:
        file.write(onnx_file.field(6, b"")[:1] + b"\x80\x80\x80\x80\x08")
        file.seek(2**31, 1)
        file.write(sound().SerializeToString())


SPEC = {"mean": [0.0] * 3, "std": [1.0] * 3, "resize": "crop", "crop_fraction": 1.0, "channels": "rgb"}
CARDS = [
    claims("of-4096-pixels", preprocess=PreprocessSpec(image_size=4096)),
    claims(
        "of-100,000-classes",
        (TAKEN, TAKEN, "logits-shape: 100000"),
        classes=tuple(map(str, range(100_000))),
        reference=None,
    ),
    claims(
        "of-2-classes",
        (TAKEN, TAKEN, "logits-shape: [1, 3] instead of [1, 2]"),
        classes=("a", "b"),
        reference=None,
    ),
    claims("of-other-input", (TAKEN, TAKEN, "runtime-failed: 8 x 8"), input="tensor"),
    claims("of-another-file", (TAKEN, "hash-changed"), content_hash="sha256:" + "0" * 64),
    claims("of-another-format", format="pt2"),
    claims("with-escapes", name=NASTY, backbone=NASTY, dataset=DatasetCard(name=NASTY, source=NASTY, notes=(NASTY,))),
    claims("with-bidi-classes", classes=(BIDI, "green", "blue")),
    bent("classes-with-escapes", "card-control-characters: classes", classes=[NASTY, "b", "c"]),
    bent("of-one-class", "card-invalid: classes", classes=["a"]),
    bent("of-200,000-classes", "card-invalid: classes", classes=[str(i) for i in range(200_000)], reference=None),
    bent("of-5000-pixels", "card-image-size", preprocess=SPEC | {"image_size": 5000}),
    bent("std-of-0", "card-mean-std", preprocess=SPEC | {"image_size": 28, "std": [0.0] * 3}),
    bent("reference-of-other-classes", "card-reference-classes", classes=["a", "b"]),
    bent("seal-of-another-card", "card-changed", card_hash="sha256:0"),
    bent("recipe-nested-in-itself", "card-too-deep: recipe", recipe={"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}),
    Artifact("card-twice.onnx", twice, card="rewritten-file"),
    Artifact("zeros-of-2-GiB.onnx", hole, card="damaged-file: ONNX"),
    Artifact("zeros-of-2-GiB.pt", hole, card="damaged-file: TorchScript"),
    Artifact("zeros-of-2-GiB.pt2", hole, card="damaged-file: pt2"),
    Artifact("description-of-2-GiB.onnx", hole_in, card="missing-card"),
]
