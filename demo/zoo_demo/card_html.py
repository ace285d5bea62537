"""The head of the page: what the model is. Cards are untrusted, so all their texts are escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.card import Card
from zoo.report import html as markup
from zoo_demo.texts import Language, say

if TYPE_CHECKING:
    from zoo_demo.models import LeftOut

SHOWN_CLASSES = 12
SHOWN_CHARACTERS = 120


def describe(card: Card, language: Language = "en") -> str:
    """The head of the page, as HTML."""
    weights = say("card.weights", language, backbone=short(card.backbone), weights=short(card.weights))
    created = {
        "created": short(card.created),
        "format": short(card.format),
        "plugin": short(str(card.backbone_plugin)),
    }
    loss = say("card.loss", language, loss=number(card.metrics.get("loss"), ".4f", language)) if card.metrics else ""
    rows = [
        ("card.accuracy", _accuracy(card, language) + loss),
        ("card.parity", parity_words(card, language)),
        ("card.backbone", weights),
        ("card.trained-on", short(f"{card.dataset.name}: {card.dataset.source}".removesuffix(": "))),
        ("card.created", say("card.created-as", language, **created)),
    ]
    table = "".join(f"<dt>{say(term, language)}</dt><dd>{markup.text(text)}</dd>" for term, text in rows)
    notes = "".join(f"<p class='note'>{markup.text(short(note, 1000))}</p>" for note in card.dataset.notes[:3])
    key = "card.summary" if card.precision == "fp32" else "card.summary-converted"
    summary = say(key, language, accuracy=_accuracy(card, language), precision=card.precision)
    return (
        f"<h1>{markup.text(short(card.name))}</h1><p>{markup.text(_classes(card, language))}</p>"
        f"<details><summary>{markup.text(summary)}</summary><dl>{table}</dl>{notes}</details>"
    )


def unavailable(left_out: Sequence[LeftOut], language: Language = "en") -> str:
    """The files that the page cannot show, and why, as HTML."""
    named = ((short(Path(each.file).name), short(each.reason, 500)) for each in left_out)
    rows = "".join(f"<li>{markup.text(file)}: {markup.text(reason)}</li>" for file, reason in named)
    return f"<details><summary>{say('left-out', language, n=len(left_out))}</summary><ul>{rows}</ul></details>"


def _classes(card: Card, language: Language) -> str:
    names = ", ".join(short(name) for name in card.classes[:SHOWN_CLASSES])
    more = len(card.classes) - SHOWN_CLASSES
    key = "card.classes-more" if more > 0 else "card.classes"
    return say(key, language, n=len(card.classes), names=names, more=more)


def _accuracy(card: Card, language: Language) -> str:
    if not card.metrics:
        return say("card.unmeasured", language)
    share = number(card.metrics.get("top1"), ".2%", language)
    pictures = _pictures(card.metrics.get("num_pictures"), language)
    return say("card.measured", language, share=share, pictures=pictures, split=short(card.metrics_split))


def parity_words(card: Card, language: Language) -> str:
    """How closely the file agrees with the network. It is not escaped."""
    most = number(card.parity.get("max"), ".1e", language)
    share = number(card.parity.get("top1_agreement"), ".2%", language)
    return say(
        "card.agreement", language, most=most, share=share, pictures=_pictures(card.parity.get("pictures"), language)
    )


def _pictures(number: Any, language: Language) -> str:
    return say("card.pictures", language, n=number) if type(number) is int else say("card.some-pictures", language)


def number(value: Any, form: str, language: Language, missing: str | None = None) -> str:
    """An untrusted number, or a word if it is not a number.

    Args:
        missing: instead of the word `unknown`.
    """
    # bool is a number in Python, and an int may be too large for a float.
    known = type(value) in (int, float) and abs(value) < 2**63
    if not known:
        return say("card.unknown", language) if missing is None else missing
    return format(value, form)


def short(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Text cut to that many characters. It is not escaped."""
    return text if len(text) <= most else text[: most - 1] + "…"
