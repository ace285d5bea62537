"""The curves and the confusion matrix of a card, as SVG and tables. Cards are untrusted: texts are escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zoo.artifacts.card import Card
from zoo.report.html import table, text
from zoo.report.model_card import confusion_counts
from zoo_demo.card_html import number, short
from zoo_demo.texts import Language, say

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 200, 62, 8, 8, 34  # of a plot and its margins
TICKS = 4
SHOWN_EPOCHS = 100  # in the table
COUNTED_CLASSES = 20  # more counts would not fit beside each other
DRAWN_CLASSES = 100
SHOWN_MISTAKES = 20
LARGEST = 2.0**63

Points = list[tuple[int, float]]
# Of each plot: its text, the columns of the card with their texts, and how its values are written.
_PLOTS = (
    ("about.loss", (("train_loss", "about.train"), ("val_loss", "about.validation")), ".3g"),
    ("about.accuracy", (("train_top1", "about.train"), ("val_top1", "about.validation")), ".0%"),
    ("about.rate", (("learning_rate", "about.rate"),), ".2g"),
)
_COLUMNS = (
    ("train_loss", "about.train-loss", ".4f"),
    ("val_loss", "about.validation-loss", ".4f"),
    ("train_top1", "about.train-accuracy", ".2%"),
    ("val_top1", "about.validation-accuracy", ".2%"),
    ("learning_rate", "about.rate", ".3g"),
)


def curves_html(card: Card, language: Language) -> str:
    """The plots of the training, and their numbers as a table; empty for a card without curves."""
    plots = "".join(_plots(card.curves, language))
    if not plots:
        return ""
    shown = np.unique(np.linspace(0, len(card.curves) - 1, SHOWN_EPOCHS).round().astype(int)).tolist()
    columns = [each for each in _COLUMNS if any(_is_number(row.get(each[0])) for row in card.curves)]
    rows = (
        [
            str(index + 1),
            text(short(str(card.curves[index].get("phase", "")))),
            *(number(card.curves[index].get(name), form, language, missing="") for name, _, form in columns),
        ]
        for index in shown
    )
    title = say("about.epochs", language)
    headers = [
        say("about.epoch", language),
        say("about.phase", language),
        *(say(key, language) for _, key, _ in columns),
    ]
    folded = f"<details><summary>{title}</summary>{table(title, headers, rows, names={1})}</details>"
    return f"<div class='plots'>{plots}</div>{folded}"


def _plots(rows: Sequence[Mapping[str, Any]], language: Language) -> Iterator[str]:
    for title, columns, form in _PLOTS:
        lines = {key: points for name, key in columns if (points := _points(rows, name))}
        if lines:
            yield _plot(say(title, language), {say(key, language): line for key, line in lines.items()}, form, language)


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    return [(epoch, float(row[name])) for epoch, row in enumerate(rows, 1) if _is_number(row.get(name))]


def _is_number(value: Any) -> bool:
    # bool is a number in Python, and an int may be too large for a float.
    return type(value) in (int, float) and abs(value) < LARGEST


def _plot(title: str, lines: dict[str, Points], form: str, language: Language) -> str:
    values = [value for points in lines.values() for _, value in points]
    ticks = _ticks(min(values), max(values))
    first = min(points[0][0] for points in lines.values())
    last = max(points[-1][0] for points in lines.values())

    def place(epoch: float, value: float) -> str:
        across = (epoch - first) / (last - first) if last > first else 0.5
        up = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return f"{LEFT + across * (WIDTH - LEFT - RIGHT):.1f},{HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM):.1f}"

    grid = "".join(_grid_line(place(first, tick), f"{tick:{form}}") for tick in ticks)
    drawn = "".join(_line(points, place, index) for index, points in enumerate(lines.values()))
    ends = "; ".join(
        say("about.from-to", language, name=name, first=f"{points[0][1]:{form}}", last=f"{points[-1][1]:{form}}")
        for name, points in lines.items()
    )
    below = f"<text x='{LEFT}' y='{HEIGHT - 18}'>{first}</text>" + (
        f"<text x='{WIDTH - RIGHT}' y='{HEIGHT - 18}' text-anchor='end'>{last}</text>" if last > first else ""
    )
    middle, epoch = (LEFT + WIDTH - RIGHT) / 2, say("about.epoch", language)
    axis = f"<text x='{middle}' y='{HEIGHT - 4}' text-anchor='middle'>{epoch}</text>"
    legend = "".join(
        f"<span><svg viewBox='0 0 28 8' aria-hidden='true'><path class='line{index}' d='M0 4H28'/></svg>{name}</span>"
        for index, name in enumerate(lines)
    )
    if len(lines) == 1:
        legend = ""
    return (
        f"<figure><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{text(f'{title}: {ends}')}'>"
        f"{grid}{below}{axis}{drawn}</svg><figcaption><strong>{title}</strong> {legend}</figcaption></figure>"
    )


def _grid_line(place: str, label: str) -> str:
    y = place.partition(",")[2]
    return (
        f"<path class='grid' d='M{LEFT} {y}H{WIDTH - RIGHT}'/>"
        f"<text x='{LEFT - 6}' y='{y}' dy='0.35em' text-anchor='end'>{label}</text>"
    )


def _line(points: Points, place: Any, index: int) -> str:
    places = [place(*point) for point in points]
    dots = "".join("<circle cx='{}' cy='{}' r='2.5'/>".format(*each.split(",")) for each in places)
    return (
        f"<g class='line{index}'><polyline points='{' '.join(places)}'/>{dots if len(places) <= TICKS * 10 else ''}</g>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below the values to above them: steps of 1, 2 or 5 times a power of ten."""
    largest = max(abs(low), abs(high), 1e-300)
    wide = high - low if high - low > 1e-6 * largest else largest  # else rounding would make steps of 0
    power = 10.0 ** math.floor(math.log10(wide / TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * TICKS >= wide)
    begin = math.floor(low / step)
    return [step * (begin + index) for index in range(max(2, math.ceil(high / step) - begin + 1))]


def confusion_html(card: Card, language: Language) -> str:
    """The confusion matrix as a table or a drawing, and the most frequent mistakes; empty for a card without one."""
    if card.confusion is None:
        return ""
    size = len(card.classes)
    matrix = _counted(card, language) if size <= COUNTED_CLASSES else ""
    if COUNTED_CLASSES < size <= DRAWN_CLASSES:
        matrix = _drawn(card, language)
    rows = [
        [text(short(card.classes[true])), text(short(card.classes[guess])), f"{often:,}"]
        for true, guess, often in card.confusion.mistakes[:SHOWN_MISTAKES]
    ]
    if not rows:
        return f"{matrix}<p>{say('about.no-mistakes', language)}</p>"
    title = say("about.mistakes", language)
    headers = [say(f"about.{key}", language) for key in ("true", "predicted", "pictures")]
    return f"{matrix}<h3>{title}</h3>{table(title, headers, rows, names={0, 1})}"


def _counted(card: Card, language: Language) -> str:
    assert card.confusion
    counts = confusion_counts(card.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [short(name, 40) for name in card.classes]
    rows = (
        [text(name), *(_cell(count, share) for count, share in zip(row, ratios, strict=True))]
        for name, row, ratios in zip(names, counts.tolist(), shares.tolist(), strict=True)
    )
    title = say("about.confusion", language)
    corner = say("about.true-below", language)
    return f"<p>{say('about.rows', language)}</p>" + table(title, [corner, *names], rows, names={0})


def _cell(count: int, share: float) -> str:
    strong = " strong" if share > 0.5 else ""  # noqa: PLR2004
    return f"<span class='count{strong}' style='--share:{share:.3f}'>{count:,}</span>" if count else "0"


def _drawn(card: Card, language: Language) -> str:
    assert card.confusion
    size, right = len(card.classes), card.confusion.right
    support = [max(1, count) for count in card.confusion.support]
    cells = [(label, label, count / support[label]) for label, count in enumerate(right) if count]
    cells += [(true, guess, often / support[true]) for true, guess, often in card.confusion.mistakes]
    squares = "".join(
        # Few mistakes among many classes would be invisible on a linear scale.
        f"<rect x='{guess}' y='{true}' width='1' height='1' opacity='{min(1, share) ** 0.5:.2f}'/>"
        for true, guess, share in cells
    )
    total = sum(card.confusion.support)
    alt = say("about.diagonal", language, classes=f"{size:,}", right=f"{sum(right):,}", total=f"{total:,}")
    caption = say("about.rows-drawn", language)
    return (
        f"<figure class='matrix'><svg viewBox='0 0 {size} {size}' role='img' aria-label='{text(alt)}'>{squares}</svg>"
        f"<figcaption>{caption}</figcaption></figure>"
    )
