"""The description of a model on the page. Cards are untrusted, so all their texts are escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.card import Card
from zoo.report import html as markup

if TYPE_CHECKING:
    from zoo_demo.models import LeftOut

SHOWN_CLASSES = 12
SHOWN_CHARACTERS = 120


def describe(card: Card) -> str:
    """The head of the page, as HTML."""
    shown = ", ".join(_text(name) for name in card.classes[:SHOWN_CLASSES])
    more = f" and {len(card.classes) - SHOWN_CLASSES:,} more" if len(card.classes) > SHOWN_CLASSES else ""
    rows = [
        ("Accuracy", _accuracy(card) + (f" (loss {_number(card.metrics.get('loss'), '.4f')})" if card.metrics else "")),
        ("Parity", _parity(card)),
        ("Backbone", f"{_text(card.backbone)}, weights: {_text(card.weights)}"),
        ("Trained on", _text(f"{card.dataset.name}: {card.dataset.source}".removesuffix(": "))),
        ("Created", f"{_text(card.created)} as {_text(card.format)} by {_text(str(card.backbone_plugin))}"),
    ]
    table = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in rows)
    notes = "".join(f"<p class='note'>{_text(note, 1000)}</p>" for note in card.dataset.notes[:3])
    return (
        f"<h1>{_text(card.name)}</h1><p>An image classifier for {len(card.classes):,} classes: {shown}{more}.</p>"
        f"<details><summary>{_accuracy(card)}; {_agreement(card)}</summary><dl>{table}</dl>{notes}</details>"
    )


def unavailable(left_out: Sequence[LeftOut]) -> str:
    """The files that the page cannot show, and why, as HTML."""
    rows = "".join(f"<li>{_text(Path(each.file).name)}: {_text(each.reason, 500)}</li>" for each in left_out)
    files = f"{len(left_out)} file{'s' * (len(left_out) > 1)}"
    return f"<details><summary>{files} not shown</summary><ul>{rows}</ul></details>"


def _accuracy(card: Card) -> str:
    if not card.metrics:
        return "accuracy not measured"
    share = _number(card.metrics.get("top1"), ".2%")
    pictures = _counted(card.metrics.get("num_pictures"))
    return f"{share} accuracy on {pictures} of the {_text(card.metrics_split)} split"


def _agreement(card: Card) -> str:
    return f"the file and the trained network agree to {_number(card.parity.get('max'), '.1e')}"


def _parity(card: Card) -> str:
    return (
        f"logits differ by at most {_number(card.parity.get('max'), '.1e')} of their spread, "
        f"{_number(card.parity.get('top1_agreement'), '.2%')} get the same class, "
        f"on {_counted(card.parity.get('pictures'))}"
    )


def _counted(pictures: Any) -> str:
    return f"{pictures:,} pictures" if type(pictures) is int else "the pictures"


def _number(value: Any, form: str) -> str:
    # bool is a number in Python, and an int may be too large for a float.
    known = type(value) in (int, float) and abs(value) < 2**63
    return format(value, form) if known else "unknown"


def _text(text: str, most: int = SHOWN_CHARACTERS) -> str:
    return markup.text(text if len(text) <= most else text[: most - 1] + "…")
