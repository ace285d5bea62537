"""Cards that claim what the program does not do, or steer the terminal of their reader; and files that are no files."""

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
        "of-100,000-classes", (TAKEN, TAKEN, "100000 classes"), classes=tuple(map(str, range(100_000))), reference=None
    ),
    claims(
        "of-2-classes",
        (TAKEN, TAKEN, "answers with [1, 3] logits to 1 pictures and 2 classes"),
        classes=("a", "b"),
        reference=None,
    ),
    claims("of-other-input", (TAKEN, TAKEN, "The artifact fails on pictures of 8 x 8"), input="tensor"),
    claims("of-another-file", (TAKEN, "content does not match its card"), content_hash="sha256:" + "0" * 64),
    claims("of-another-format", format="pt2"),
    claims("with-escapes", name=NASTY, backbone=NASTY, dataset=DatasetCard(name=NASTY, source=NASTY, notes=(NASTY,))),
    claims("with-bidi-classes", classes=(BIDI, "green", "blue")),
    bent("classes-with-escapes", "control characters", classes=[NASTY, "b", "c"]),
    bent("of-one-class", "classes", classes=["a"]),
    bent("of-200,000-classes", "classes", classes=[str(i) for i in range(200_000)], reference=None),
    bent("of-5000-pixels", "image size is not within", preprocess=SPEC | {"image_size": 5000}),
    bent("std-of-0", "std is not above 0", preprocess=SPEC | {"image_size": 28, "std": [0.0] * 3}),
    bent("reference-of-other-classes", "reference outputs are not of these classes", classes=["a", "b"]),
    bent("seal-of-another-card", "does not match its hash", card_hash="sha256:0"),
    bent("recipe-nested-in-itself", "nested deeper", recipe={"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}),
    Artifact("card-twice.onnx", twice, card="was rewritten by another program"),
    Artifact("zeros-of-2-GiB.onnx", hole, card="no ONNX file"),
    Artifact("zeros-of-2-GiB.pt", hole, card="no TorchScript file"),
    Artifact("zeros-of-2-GiB.pt2", hole, card="no pt2 file"),
    Artifact("description-of-2-GiB.onnx", hole_in, card="it has no card"),
]
