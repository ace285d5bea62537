"""Exported files that a browser can run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import read_card
from zoo.errors import ArtifactError, UsageError
from zoo.registry import registry

HASH_CHARACTERS = 10
STEM_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Model:
    """An exported file and its card.

    Attributes:
        name: of its files in a page: of ASCII letters and digits, with the beginning of its hash.
        card_json: the card as the file holds it.
        size: in bytes.
    """

    path: Path
    name: str
    card: Card
    card_json: str
    size: int

    @property
    def label(self) -> str:
        """For a menu: files of one run differ in precision."""
        return self.card.name if self.card.precision == "fp32" else f"{self.card.name}, {self.card.precision}"

    def facts(self) -> list[tuple[str, str]]:
        """What a reader wants to know first: terms and values."""
        card = self.card
        rows = [("backbone", card.backbone), ("classes", f"{len(card.classes):,}"), ("data", card.dataset.name)]
        rows += [("licence of the data", card.dataset.licence), ("licence of the weights", card.weights_licence)]
        accuracy, number = card.metrics.get("top1"), card.metrics.get("num_pictures")
        if isinstance(accuracy, float) and type(number) is int:
            term = "accuracy" if card.precision == "fp32" else f"accuracy before the conversion to {card.precision}"
            rows.append((term, f"{accuracy:.2%} of {number:,} {card.metrics_split} pictures"))
        rows += _after(card)
        rows += [("precision", card.precision), ("created", card.created)]
        return [(term, value) for term, value in rows if value]


def _after(card: Card) -> list[tuple[str, str]]:
    """What the conversion to another precision did to the accuracy, on the pictures that were compared."""
    found = card.parity.get("accuracy")
    if card.precision == "fp32" or not isinstance(found, dict):
        return []
    file, network, number = found.get("artifact"), found.get("classifier"), found.get("pictures")
    if not (isinstance(file, float) and isinstance(network, float) and type(number) is int):
        return []
    told = f"{file:.2%} of {number:,} compared pictures ({network:.2%} of them before)"
    return [(f"accuracy after the conversion to {card.precision}", told)]


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_models(files: Sequence[Path]) -> list[Model]:
    """Checks exported files and describes them. Raises `ArtifactError`, `UsageError`."""
    if not files:
        raise UsageError("No file was given.", "Give files that `zoo export` wrote.", code="no-file")
    models = {model.name: model for model in map(_read, files)}  # the same file twice is one model
    return list(models.values())


def _read(path: Path) -> Model:
    card, exporter = read_card(path), registry().exporter_for(path).spec
    if exporter.content_hash(path) != card.content_hash:
        raise ArtifactError(
            f"'{path}' is damaged or was changed after its export: its content does not match its card.",
            "Copy it again from its source, or export it again.",
            code="hash-changed",
        )
    if card.input != "pixels":
        raise UsageError(
            f"'{path}' takes tensors, and a page has pictures.", "Export it with --input pixels.", code="tensor-input"
        )
    if card.exported.get("external_data"):
        raise UsageError(
            f"The weights of '{path}' are in another file.",
            "Export it without --external-data: a browser takes at most 2 GB.",
            code="external-weights",
        )
    text = exporter.read_card(path)
    assert text is not None  # read_card above refused it
    stem = re.sub(r"[^a-z0-9]+", "-", card.name.lower())[:STEM_CHARACTERS].strip("-") or "model"
    name = f"{stem}-{sha256(path)[:HASH_CHARACTERS]}"
    return Model(path, name, card, text, path.stat().st_size)
