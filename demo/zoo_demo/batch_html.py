"""Batches as HTML. File names, classes and errors are untrusted text: all of them are escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from zoo.artifacts.card import Card
from zoo.report.html import name as shown_name
from zoo.report.html import text
from zoo_demo.batch import TOP_K, Batch
from zoo_demo.labelled import Figures, true_classes
from zoo_demo.shown import percent, source
from zoo_demo.texts import Language, say

MAX_MATRIX_CLASSES = 30
MAX_KINDS = 10  # of mistakes
MAX_NAME = 200


def progress_html(batch: Batch, language: Language) -> str:
    """How far a batch is."""
    said = say("batch.progress", language, done=batch.done, total=batch.total)
    if 0 < batch.done < batch.total:
        said += " " + say("batch.left", language, n=max(1, round(batch.seconds_left)))
    bar = f"<progress class='wide-progress' value='{batch.done}' max='{batch.total}' aria-hidden='true'></progress>"
    return f"<p>{text(said)}</p>{bar}"


def ended_html(batch: Batch, language: Language) -> str:
    """How a batch ended."""
    key = {"": "batch.done", "stopped": "batch.stopped", "late": "batch.late"}[batch.ended]
    parts = [say(key, language, n=len(batch.rows), done=batch.done, total=batch.total)]
    if batch.unread:
        parts.append(say("batch.unread", language, n=len(batch.unread)))
    if batch.skipped:
        parts.append(say("batch.skipped", language, n=batch.skipped))
    return f"<p>{text(' '.join(parts))}</p>"


def batch_html(batch: Batch, card: Card, title: str, language: Language) -> str:
    """The figures if the classes are known, the answers, the downloads, and what could not be read."""
    if not batch.rows:
        return unread_html(batch, language)
    true, unknown = true_classes([row.file for row in batch.rows], card.classes)
    figures = ""
    if true is not None:
        predicted = [card.classes.index(row.predictions[0].label) for row in batch.rows]
        figures = figures_html(Figures.of(card.classes, true, predicted), language)
    elif unknown is not None:
        figures = f"<p>{text(say('batch.unknown', language, folder=short(unknown)))}</p>"
    names = None if true is None else [card.classes[number] for number in true]
    table = _table(batch, names, title, language)
    return figures + unread_html(batch, language) + _downloads(batch, card, language) + table


def unread_html(batch: Batch, language: Language) -> str:
    """The pictures without an answer, each with its sentence."""
    if not batch.unread:
        return ""
    items = "".join(f"<li>{shown_name(short(file))}: {text(str(error))}</li>" for file, error in batch.unread)
    summary = say("batch.unread-list", language)
    return f"<details class='unread' open><summary>{text(summary)}</summary><ul>{items}</ul></details>"


def _downloads(batch: Batch, card: Card, language: Language) -> str:
    files = (
        ("csv", "text/csv", batch.csv(min(TOP_K, len(card.classes)))),
        ("json", "application/json", batch.json()),
    )
    links = "".join(
        f"<a class='button' download='predictions.{suffix}' href='data:{kind};base64,{_encoded(content)}'>"
        f"{text(say('batch.download', language, kind=suffix.upper()))}</a>"
        for suffix, kind, content in files
    )
    return f"<p class='downloads'>{links}</p>"


def _encoded(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


def _table(batch: Batch, true: Sequence[str] | None, title: str, language: Language) -> str:
    heads = [("number", "number"), ("file", "text"), ("label", "text"), ("probability", "number")]
    heads += [("true", "text"), ("verdict", "text")] if true is not None else []
    head = "".join(
        f"<th scope='col' data-kind='{kind}' aria-sort='{'ascending' if key == 'number' else 'none'}'>"
        f"<button type='button'>{text(say(f'batch.head-{key}', language))}</button></th>"
        for key, kind in heads
    )
    rows = []
    for number, row in enumerate(batch.rows):
        best = row.predictions[0]
        cells = [
            f"<td data-value='{number}'><img src='{source(row.thumbnail)}' alt='' loading='lazy'> {number + 1}</td>",
            f"<th scope='row'>{shown_name(short(row.file))}</th>",
            f"<td>{shown_name(short(best.label))}</td>",
            f"<td data-value='{best.probability!r}'>{text(percent(best.probability))}</td>",
        ]
        if true is not None:
            verdict = "right" if true[number] == best.label else "wrong"
            cells.append(f"<td>{shown_name(short(true[number]))}</td>")
            cells.append(f"<td>{text(say(f'batch.{verdict}', language))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    caption = say("batch.caption", language, model=title)
    return framed(say("batch.answers", language), caption, head, rows, kind="sortable")


def figures_html(figures: Figures, language: Language) -> str:
    """Accuracy, the confusion matrix, and the most frequent mistakes."""
    macro = figures.by_class
    facts = say(
        "batch.figures",
        language,
        right=figures.right,
        total=figures.total,
        recall=f"{macro.macro(macro.recall):.1%}",
        f1=f"{macro.macro(macro.f1):.1%}",
    )
    accuracy = say("batch.accuracy", language, share=f"{figures.right / figures.total:.1%}")
    return (
        f"<section class='figures'><p class='best'>{text(accuracy)}</p><p>{text(facts)}</p>"
        f"{_mistakes(figures, language)}{_matrix(figures, language)}</section>"
    )


def _mistakes(figures: Figures, language: Language) -> str:
    kinds = figures.confusions()[:MAX_KINDS]
    if not kinds:
        return ""
    items = "".join(
        f"<li>{text(say('batch.mistake', language, n=count, true=short(true), predicted=short(predicted)))}</li>"
        for true, predicted, count in kinds
    )
    return f"<h2>{text(say('batch.mistakes', language))}</h2><ul>{items}</ul>"


def _matrix(figures: Figures, language: Language) -> str:
    shown = figures.shown(MAX_MATRIX_CLASSES)
    caption = say("batch.matrix", language)
    if len(shown) < len(figures.classes):
        caption += " " + say("batch.matrix-part", language, n=len(shown), total=len(figures.classes))
    head = "".join(f"<th scope='col'>{shown_name(short(figures.classes[number], 40))}</th>" for number in shown)
    rows = (
        f"<tr><th scope='row'>{shown_name(short(figures.classes[row], 40))}</th>"
        + "".join(_cell(int(figures.counts[row, column]), right=row == column) for column in shown)
        + "</tr>"
        for row in shown
    )
    corner = text(say("batch.matrix-corner", language))
    head = f"<th scope='col'>{corner}</th>{head}"
    return framed(say("batch.matrix-name", language), caption, head, rows, kind="matrix")


def _cell(count: int, *, right: bool) -> str:
    kind = " class='right'" if right else "" if count else " class='none'"
    return f"<td{kind}>{count}</td>"


def framed(name: str, caption: str, head: str, rows: Iterable[str], kind: str = "") -> str:
    """A table in a region of its own, which scrolls.

    Args:
        name: of the region, for screen readers.
        head: the cells of the first row, as HTML.
        rows: the others, as HTML.
        kind: a class of the style sheet.
    """
    styled = f" class='{kind}'" if kind else ""
    return (
        f"<div class='answers' role='region' aria-label='{text(name)}' tabindex='0'>"
        f"<table{styled}><caption><span>{text(caption)}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def short(value: str, most: int = MAX_NAME) -> str:
    """At most so many characters."""
    return value if len(value) <= most else value[: most - 1] + "…"
