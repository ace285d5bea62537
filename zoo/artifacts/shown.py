"""How predictors and predictions show themselves: one line, and a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.html import count, facts
from zoo.progress import printable

if TYPE_CHECKING:
    from zoo.artifacts.card import Card
    from zoo.artifacts.predictor import Prediction, Predictor

SHOWN_CLASSES = 10


def predictor_line(predictor: Predictor) -> str:
    """One line: what it is and what it tells apart."""
    card = predictor.card
    classes = count(len(card.classes), "class", "es")
    return one_line(f"Predictor('{card.name}': {card.format}, {card.precision}, {classes})")


def predictor_html(predictor: Predictor) -> str:
    return facts(predictor.card.name, card_rows(predictor.card))


def prediction_line(prediction: Prediction) -> str:
    """One line: the best classes with their probabilities."""
    best = ", ".join(f"'{label}' {probability:.1%}" for label, probability in prediction.top)
    return one_line(f"Prediction({best})")


def prediction_html(prediction: Prediction) -> str:
    return facts("class", ((label, f"{probability:.1%}") for label, probability in prediction.top))


def card_rows(card: Card) -> list[tuple[str, str]]:
    """Facts of an exported file. Cards are untrusted: their texts are escaped where they are shown."""
    shown, more = ", ".join(card.classes[:SHOWN_CLASSES]), len(card.classes) - SHOWN_CLASSES
    top1, largest = card.metrics.get("top1"), card.parity.get("max")
    before = "" if card.precision == "fp32" else f", before the conversion to {card.precision}"
    return [
        ("format", f"{card.format}, {card.precision}, takes {card.input}"),
        ("backbone", card.backbone),
        ("classes", f"{shown} and {more} more" if more > 0 else shown),
        ("image size", f"{card.preprocess.image_size} pixels"),
        ("accuracy", f"{top1:.2%} ({card.metrics_split}{before})" if isinstance(top1, float | int) else "not measured"),
        ("largest difference", f"{largest:.1e} of the logits' spread" if isinstance(largest, float | int) else ""),
    ]


def one_line(text: str) -> str:
    """Untrusted text, without what could control a terminal or begin a line."""
    return printable(" ".join(text.split()))
