"""Comparisons as HTML. Titles, classes and file names are untrusted text: all of them are escaped here."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.report.html import name as shown_name
from zoo.report.html import text
from zoo_demo.batch import Batch, Row
from zoo_demo.batch_html import framed, short, unread_html
from zoo_demo.compare import (
    accuracy,
    agreement,
    disagreements,
    groups,
    largest_difference,
    latency_ms,
    same_classes,
)
from zoo_demo.models import Model
from zoo_demo.service import Answer
from zoo_demo.shown import bars, percent, source
from zoo_demo.texts import Language, say

NOTHING = "\N{EN DASH}"


def side_by_side(models: Sequence[Model], answers: Sequence[Answer], language: Language) -> str:
    """The answers of several models to one picture, and in words whether they agree."""
    columns = "".join(
        f"<li><h2>{shown_name(short(model.title))}</h2><p class='best'>{text(answer.top[0][0])}</p>{bars(answer.top)}"
        f"<p>{text(say('compare.latency', language, ms=f'{answer.latency_ms:.1f}'))}</p></li>"
        for model, answer in zip(models, answers, strict=True)
    )
    words = _verdict(models, [answer.top[0][0] for answer in answers], language)
    apart = largest_difference(answers)
    if apart is not None:
        label = short(answers[0].top[0][0])
        words += " " + say("compare.apart", language, label=label, points=f"{100 * apart:.1f}")
    return f"<p class='verdict'>{text(words)}</p>{_classes(models, language)}<ul class='columns'>{columns}</ul>"


def _verdict(models: Sequence[Model], labels: Sequence[str], language: Language) -> str:
    found = groups(labels)
    if len(found) == 1:
        return say("compare.agree", language, label=short(labels[0]))
    parts = (
        say("compare.group", language, models=_listed(models, numbers), label=short(label)) for label, numbers in found
    )
    return (
        say("compare.disagree", language)
        + " "
        + say("compare.between", language).join(parts)
        + say("compare.end", language)
    )


def _listed(models: Sequence[Model], numbers: Sequence[int]) -> str:
    return ", ".join(short(models[number].title, 60) for number in numbers)


def _classes(models: Sequence[Model], language: Language) -> str:
    return "" if same_classes(models) else f"<p>{text(say('compare.classes', language))}</p>"


def over_batch(models: Sequence[Model], batch: Batch, language: Language) -> str:
    """How often the models agree, and the pictures on which they do not."""
    if not batch.rows:
        return unread_html(batch, language)
    apart = disagreements(batch)
    facts = {"same": len(batch.rows) - len(apart), "total": len(batch.rows)}
    share = say("compare.agreement", language, share=percent(facts["same"] / facts["total"]))
    return (
        f"<p class='best'>{text(share)}</p><p>{text(say('compare.agreement-of', language, **facts))}</p>"
        f"{_classes(models, language)}{_summary(models, batch, language)}{unread_html(batch, language)}"
        f"{_apart(models, apart, language) if apart else ''}"
    )


def _summary(models: Sequence[Model], batch: Batch, language: Language) -> str:
    """A table with a row for each model."""
    right = [accuracy(batch, number, model) for number, model in enumerate(models)]
    labelled = any(share is not None for share in right)
    heads = [say("model", language)]
    heads += [say("compare.same-as", language, model=short(model.title, 60)) for model in models]
    heads += [say("compare.median", language)] + ([say("compare.accuracy", language)] if labelled else [])
    head = "".join(f"<th scope='col'>{text(title)}</th>" for title in heads)
    rows = []
    for number, model in enumerate(models):
        cells = [
            NOTHING if number == other else percent(agreement(batch, number, other)) for other in range(len(models))
        ]
        cells.append(f"{latency_ms(batch, number):.1f} ms")
        share = right[number]
        cells += [NOTHING if share is None else percent(share)] if labelled else []
        row = "".join(f"<td>{text(cell)}</td>" for cell in cells)
        rows.append(f"<tr><th scope='row'>{shown_name(short(model.title))}</th>{row}</tr>")
    caption = say("compare.summary", language)
    return framed(caption, caption, head, rows)


def _apart(models: Sequence[Model], apart: Sequence[tuple[int, Row]], language: Language) -> str:
    """The pictures on which the models disagree."""
    titles = [say("batch.head-number", language), say("batch.head-file", language)]
    titles += [short(model.title, 60) for model in models]
    head = "".join(
        f"<th scope='col' data-kind='{'text' if number else 'number'}' aria-sort='{'none' if number else 'ascending'}'>"
        f"<button type='button'>{text(title)}</button></th>"
        for number, title in enumerate(titles)
    )
    rows = []
    for number, row in apart:
        cells = "".join(
            f"<td>{shown_name(short(prediction.label))} {text(percent(prediction.probability))}</td>"
            for prediction in row.predictions
        )
        rows.append(
            f"<tr><td data-value='{number}'><img src='{source(row.thumbnail)}' alt='' loading='lazy'> {number + 1}"
            f"</td><th scope='row'>{shown_name(short(row.file))}</th>{cells}</tr>"
        )
    caption = say("compare.pictures", language)
    return framed(caption, caption, head, rows, kind="sortable")
