"""The page about a model: its card as a person reads it. Cards are untrusted, so all their texts are escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.artifacts.card import Card
from zoo.report.html import table, text
from zoo.report.model_card import figures_by_class, parity_facts
from zoo.transforms.preprocess_numpy import shorter_side
from zoo_demo.about_plots import confusion_html, curves_html
from zoo_demo.card_html import number, parity_words, short
from zoo_demo.service import Checked
from zoo_demo.texts import Language, say

SHOWN_CLASSES = 2000
WORST_CLASSES = 50
SHOWN_ROWS = 200
LONG = 1000
MARKS = {True: "✓", False: "✗", None: "?"}
_RESULTS = {True: "about.passed", False: "about.failed", None: "about.not-made"}
_CHECKS = {"hash": "about.check-hash", "numbers": "about.check-numbers"}
_FIGURES = {"top1": ".2%", "top5": ".2%", "macro_f1": ".2%", "macro_recall": ".2%", "loss": ".4f", "ece": ".2%"}
Facts = Iterable[tuple[str, str]]


def about_html(card: Card, language: Language) -> str:
    """The sections of the page. Those of which the card says nothing are left out."""
    sections = {
        "classes": _classes(card, language),
        "data": _facts(_data(card, language)),
        "weights": _facts(_weights(card, language)),
        "figures": _figures(card, language),
        "curves": curves_html(card, language),
        "confusion": confusion_html(card, language) + _worst(card, language),
        "parity": _parity(card, language),
        "input": _facts(_input(card, language)),
        "recipe": _folded(say("about.recipe-options", language), _values(card.recipe)),
        "versions": _folded(say("about.packages", language), card.versions),
        "integrity": _integrity(card, language),
    }
    return "".join(
        f"<section><h2>{say(f'about.{name}', language)}</h2>{content}</section>"
        for name, content in sections.items()
        if content
    )


def checks_html(title: str, found: Sequence[Checked], language: Language) -> str:
    """What a check of a file found. Each result is a word and a mark, besides its colour."""
    passed = all(check.passed is True for check in found)
    failed = any(check.passed is False for check in found)
    kind = "passed" if passed else "failed" if failed else "unknown"
    rows = (
        [
            say(_CHECKS[check.name], language) if check.name in _CHECKS else text(short(check.name)),
            f"<strong class='result'>{_mark(check.passed)} {say(_RESULTS[check.passed], language)}</strong>",
            text(short(check.summary, LONG)),
        ]
        for check in found
    )
    headers = [say(f"about.check-{key}", language) for key in ("name", "result", "found")]
    sentence = text(say(f"about.file-{kind}", language, model=short(title)))
    head = f"<p class='verdict {kind}'>{_mark(True if passed else False if failed else None)} {sentence}</p>"
    return head + table(say("about.checks", language), headers, rows, names={0, 1, 2})


def _mark(passed: bool | None) -> str:
    return f"<span aria-hidden='true'>{MARKS[passed]}</span>"


def _classes(card: Card, language: Language) -> str:
    names = "".join(f"<li>{text(short(name))}</li>" for name in card.classes[:SHOWN_CLASSES])
    more = len(card.classes) - SHOWN_CLASSES
    rest = f"<p>{say('about.more-classes', language, n=more)}</p>" if more > 0 else ""
    summary = say("about.all-classes", language, n=len(card.classes))
    return f"<details><summary>{summary}</summary><ul class='names'>{names}</ul>{rest}</details>"


def _data(card: Card, language: Language) -> Facts:
    data = card.dataset
    yield say("card.trained-on", language), data.name
    yield say("about.source", language), data.source
    yield say("about.picture-licence", language), data.licence or say("about.no-licence", language)
    for note in data.notes:
        yield say("about.note", language), note


def _weights(card: Card, language: Language) -> Facts:
    yield say("card.backbone", language), f"{card.backbone} ({card.backbone_plugin})"
    yield say("about.first-weights", language), card.weights
    yield say("about.weights-licence", language), card.weights_licence


def _figures(card: Card, language: Language) -> str:
    known = [(name, form) for name, form in _FIGURES.items() if name in card.metrics]
    if not known:
        return f"<p>{say('card.unmeasured', language)}</p>"
    pictures = number(card.metrics.get("num_pictures"), ",", language)
    measured = say("about.measured", language, pictures=pictures, split=short(card.metrics_split))
    rows = ((say(f"about.figure-{name}", language), number(card.metrics[name], form, language)) for name, form in known)
    return f"<p>{text(measured)}</p>{_facts(rows)}"


def _worst(card: Card, language: Language) -> str:
    if card.confusion is None:
        return ""
    found, order = figures_by_class(card.confusion)
    rows = (
        [
            text(short(card.classes[label])),
            *(f"{values[label]:.1%}" for values in (found.f1, found.precision, found.recall)),
            f"{found.support[label]:,}",
        ]
        for label in order[:WORST_CLASSES]
    )
    title = say("about.by-class", language)
    headers = [say(f"about.{key}", language) for key in ("class", "f1", "precision-of", "recall", "pictures")]
    return f"<details><summary>{title}</summary>{table(title, headers, rows, names={0})}</details>"


def _parity(card: Card, language: Language) -> str:
    facts = _facts((short(name), value) for name, value in parity_facts(card)[:SHOWN_ROWS])
    if not facts:
        return ""
    words = f"<p>{text(say('about.parity-words', language, found=parity_words(card, language)))}</p>"
    checks = card.parity.get("checks")
    made = [check for check in checks if isinstance(check, Mapping)] if isinstance(checks, list) else []
    rows = (
        [
            text(short(str(check.get("name", "")))),
            say(_RESULTS[passed if isinstance(passed := check.get("passed"), bool) else None], language),
            text(short(str(check.get("covered", "")), LONG)),
            number(check.get("worst"), ".3g", language, missing=""),
            number(check.get("allowed"), ".3g", language, missing=""),
        ]
        for check in made[:SHOWN_ROWS]
    )
    title = say("about.export-checks", language)
    headers = [say(f"about.check-{key}", language) for key in ("name", "result", "covered", "worst", "allowed")]
    made_table = table(title, headers, rows, names={0, 1, 2}) if made else ""
    folded = f"<details><summary>{title}</summary>{made_table}{facts}</details>"
    return words + folded


def _input(card: Card, language: Language) -> Facts:
    spec = card.preprocess
    yield say("about.precision", language), card.precision
    yield say("about.takes", language), say(f"about.takes-{card.input}", language, side=spec.image_size)
    resize = {"part": f"{spec.crop_fraction:g}", "side": spec.image_size}
    if spec.resize == "shorter":
        resize["shorter"] = shorter_side(spec)
    way = "square" if spec.resize == "crop" and spec.crop_fraction == 1 else spec.resize
    how = say(f"about.resize-{way}", language, **resize)
    yield say("about.preprocessing", language), f"{how} ({spec.interpolation}, {spec.channels})"
    mean, std = (", ".join(f"{value:g}" for value in triple) for triple in (spec.mean, spec.std))
    yield say("about.normalisation", language), say("about.mean-std", language, mean=mean, std=std)
    if spec.pixel_range:
        low, high = (f"{value:g}" for value in spec.pixel_range)
        yield say("about.decoding", language), say("about.pixel-range", language, low=low, high=high)
    yield from ((name.replace("_", " "), value) for name, value in _values(card.exported).items())


def _integrity(card: Card, language: Language) -> str:
    held = "about.reference" if card.reference else "about.no-reference"
    count = len(card.reference.logits) if card.reference else 0
    facts = [
        (say("about.content-hash", language), card.content_hash),
        (say("about.card-hash", language), card.card_hash or say("about.no-card-hash", language)),
        (say("card.created", language), card.created),
        (say("about.answers", language), say(held, language, n=count)),
    ]
    return f"{_facts(facts)}<p>{say('about.hashes', language)}</p>"


def _values(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: _value(value) for name, value in values.items()}


def _value(value: Any) -> str:
    if isinstance(value, str | None):
        return value or ""
    return f"{value:.6g}" if type(value) is float else json.dumps(value, ensure_ascii=False)


def _folded(title: str, values: Mapping[str, str]) -> str:
    facts = _facts((name.replace("_", " "), value) for name, value in list(values.items())[:SHOWN_ROWS])
    return f"<details><summary>{title}</summary>{facts}</details>" if facts else ""


def _facts(rows: Facts) -> str:
    """Names and values, escaped here. Empty values are left out."""
    shown = "".join(f"<dt>{text(short(term))}</dt><dd>{text(short(value, LONG))}</dd>" for term, value in rows if value)
    return f"<dl>{shown}</dl>" if shown else ""
