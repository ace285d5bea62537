"""A card as a Markdown page, for people who decide whether to use a model.

The texts of a card are untrusted. Each becomes one line here, with all Markdown and HTML escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from zoo import metrics
from zoo.artifacts.card import Card, Confusion
from zoo.report.html import clean
from zoo.report.usage_snippets import usage
from zoo.transforms.preprocess_numpy import shorter_side

MAX_MATRIX_CLASSES = 20
SHOWN_CLASSES = 50
SHOWN_MISTAKES = 20
SHOWN_EPOCHS = 12
SHOWN_CHARACTERS = 500

FIGURES = {"top1": "accuracy", "top5": "top-5 accuracy", "macro_f1": "macro F1", "macro_recall": "macro recall"}
CURVES = ("epoch", "phase", "train_loss", "val_loss", "train_top1", "val_top1", "learning_rate")

# Characters with a meaning inside a line, also for GitHub: https://spec.commonmark.org/0.31.2/#backslash-escapes
_MARKS = re.compile(r"([\\`*_\[\]<>&|~#$@!]|:(?=[/a-z])|(?<=www)\.)", re.IGNORECASE)


def words(value: object, most: int = SHOWN_CHARACTERS) -> str:
    """Text on one line that Markdown shows unchanged, also in a table. Not for the start of a line."""
    line = clean(" ".join(str(value).split()))
    return _MARKS.sub(r"\\\1", line if len(line) <= most else line[: most - 1] + "…")


def model_card(card: Card) -> str:
    """The page."""
    sections = {
        "What it is": _table(("", ""), _facts(card)),
        "How to use it": usage(card),
        "Figures": _figures(card),
        "Classes": _classes(card),
        "Confusion": _confusion(card),
        "Training": _training(card),
        "Parity": _parity(card),
        "Data and licences": _table(("", ""), _data(card)),
        "Made with": _table(("", ""), card.versions.items()),
        "Integrity": _integrity(card),
        "Limits": _limits(card),
    }
    parts = [f"# {words(card.name)}", _summary(card)]
    parts += [f"## {title}\n\n{content}" for title, content in sections.items() if content]
    return "\n\n".join(parts) + "\n"


def _summary(card: Card) -> str:
    shown = ", ".join(words(name, 60) for name in card.classes[:10])
    rest = len(card.classes) - 10
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"An image classifier for {len(card.classes):,} classes: {shown}{more}."


def _facts(card: Card) -> list[tuple[str, object]]:
    spec = card.preprocess
    square = f"the centred square, {spec.crop_fraction:g} of the shorter side,"
    crop = square if spec.resize == "crop" else "the whole picture"
    how = f"{crop} resized to {spec.image_size} x {spec.image_size} pixels, antialiased"
    if spec.resize == "shorter":
        side = shorter_side(spec)
        centre = f"the centred {spec.image_size} x {spec.image_size}"
        how = f"the shorter side resized to {side} pixels, antialiased, then {centre}"
    how += ", bicubic" if spec.interpolation == "bicubic" else ""
    colours = "" if spec.channels == "rgb" else ", as grey in three channels"
    triples = (", ".join(f"{value:g}" for value in triple) for triple in (spec.mean, spec.std))
    takes = "RGB pictures of any size, uint8 [N, H, W, 3]; the preprocessing is inside the file"
    if card.input == "tensor":
        takes = f"preprocessed pictures, float32 [N, 3, {spec.image_size}, {spec.image_size}]"
    return [
        ("backbone", f"{card.backbone} ({card.backbone_plugin})"),
        ("initial weights", card.weights),
        ("created", card.created),
        ("format", f"{card.format}, {card.precision}"),
        *((f"export: {name}", value) for name, value in card.exported.items() if not isinstance(value, dict | list)),
        ("input", takes),
        ("preprocessing", f"{how}{colours}"),
        *(
            [
                (
                    "decoding",
                    "values {:g}..{:g} of pictures with more than 8 bits become 0..255".format(*spec.pixel_range),
                )
            ]
            if spec.pixel_range
            else []
        ),
        ("normalisation", "mean ({}), std ({}), of pixels scaled to 0..1".format(*triples)),
        ("output", f"logits, float32 [N, {len(card.classes)}]"),
    ]


def _figures(card: Card) -> str:
    found = card.metrics
    rows = [(title, number(found[name], ".2%")) for name, title in FIGURES.items() if name in found]
    rows += [("loss (nats)", number(found["loss"], ".4f"))] if "loss" in found else []
    rows += [("calibration error", number(found["ece"], ".2%"))] if "ece" in found else []
    if not rows:
        return ""
    pictures = number(found.get("num_pictures"), ",")
    of = (
        f"Measured for the trained classifier in fp32, on {pictures} pictures of the {words(card.metrics_split)} split."
    )
    return f"{of}\n\n{_table(('figure', 'value'), rows)}"


def _classes(card: Card) -> str:
    if card.confusion is None:
        return ""
    found, order = figures_by_class(card.confusion)
    columns = (found.f1, found.precision, found.recall)
    rows = [
        (card.classes[label], *(f"{values[label]:.1%}" for values in columns), f"{found.support[label]:,}")
        for label in order[:SHOWN_CLASSES]
    ]
    more = len(order) - len(rows)
    rest = f"\n\nAnd {more:,} more classes with a higher F1." if more else ""
    return "Lowest F1 first.\n\n" + _table(("class", "F1", "precision", "recall", "pictures"), rows) + rest


def figures_by_class(confusion: Confusion) -> tuple[metrics.ClassFigures, list[int]]:
    """Figures of each class, and the classes with pictures by ascending F1."""
    right, support, answers = (
        np.array(counts, np.int64) for counts in (confusion.right, confusion.support, confusion.answers)
    )
    found = metrics.figures_of_sums(right, support, answers)
    present = np.flatnonzero(support)
    order: list[int] = present[np.argsort(found.f1[present], kind="stable")].tolist()
    return found, order


def _confusion(card: Card) -> str:
    confusion = card.confusion
    if confusion is None:
        return ""
    if len(card.classes) > MAX_MATRIX_CLASSES:
        rows = [
            (card.classes[true], card.classes[guess], f"{count:,}")
            for true, guess, count in confusion.mistakes[:SHOWN_MISTAKES]
        ]
        table = _table(("true class", "predicted class", "pictures"), rows)
        return f"The most frequent mistakes.\n\n{table}" if rows else "No picture was misclassified."
    counts = confusion_counts(confusion).tolist()
    cells = ((name, *(f"{count:,}" for count in row)) for name, row in zip(card.classes, counts, strict=True))
    return "One row per true class, one column per predicted class.\n\n" + _table(("", *card.classes), cells)


def confusion_counts(confusion: Confusion) -> np.ndarray:
    """The matrix, int64 `[K, K]`: row = true class, column = predicted class. For few classes."""
    counts = np.diag(np.array(confusion.right, np.int64))
    for true, guess, count in confusion.mistakes:
        counts[true, guess] = count
    return counts


def _training(card: Card) -> str:
    recipe = _table(("option", "value"), ((name, value) for name, value in card.recipe.items() if value is not None))
    names = [name for name in CURVES if any(name in row for row in card.curves)]
    if not names:
        return recipe
    shown = np.unique(np.linspace(0, len(card.curves) - 1, SHOWN_EPOCHS).round().astype(int))
    rows = ([_cell(card.curves[index].get(name)) for name in names] for index in shown)
    return f"{recipe}\n\n{_table([name.replace('_', ' ') for name in names], rows)}"


def _parity(card: Card) -> str:
    about = (
        "The export compared the file with the trained classifier in fp32. Differences of logits are relative to their "
        "spread from picture to picture."
    )
    rows = parity_facts(card)
    return f"{about}\n\n{_table(('', ''), rows)}" if rows else ""


def parity_facts(card: Card) -> list[tuple[str, str]]:
    """The names and values of the report of parity, as untrusted text."""
    rows = [(name.replace("_", " "), _cell(v)) for name, v in card.parity.items() if not isinstance(v, dict | list)]
    accuracy = card.parity.get("accuracy")
    if isinstance(accuracy, dict):
        rows += [(f"accuracy: {side}", _cell(value)) for side, value in accuracy.items()]
    return rows


def _data(card: Card) -> list[tuple[str, object]]:
    data = card.dataset
    return [
        ("trained on", data.name),
        ("source", data.source),
        ("licence of the pictures", data.licence or "not recorded: ask the maker of the model"),
        ("licence of the initial weights", card.weights_licence),
        *(("note", note) for note in data.notes),
    ]


def _integrity(card: Card) -> str:
    held = "the file's answers" if card.reference else "no answers"
    return (
        f"Content hash: {words(card.content_hash)}. The card has {held} to synthetic pictures. `zoo verify` checks "
        "both. The card also has its own hash. Hashes show damage and accidental changes, not where a file comes from."
    )


def _limits(card: Card) -> str:
    limits = [
        f"It answers every picture with one of its {len(card.classes):,} classes, whatever the picture shows.",
    ]
    if card.metrics:
        limits += [
            "Its figures apply to pictures like those of the evaluation. On other pictures they are usually lower.",
            "The calibration error above says how far its probabilities can be trusted.",
        ]
    else:
        limits.append("Its accuracy was not measured: the export had pictures without labels.")
    if card.metrics_split == "validation":
        limits.append("There was no test split. The training used the same pictures to choose its best epoch.")
    if card.precision != "fp32":
        limits.append(f"The figures are for fp32. The section Parity shows the cost of {card.precision}.")
    return "\n".join(f"- {limit}" for limit in limits)


def number(value: Any, form: str) -> str:
    """An untrusted number in that form, or `unknown` if it is not a number."""
    known = type(value) in (int, float) and math.isfinite(value) and abs(value) < 2**63
    return format(value, form) if known else "unknown"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if type(value) is float else "" if value is None else str(value)


def _table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table of untrusted texts. Rows without values are left out."""
    lines = [[words(cell) for cell in row] for row in (header, *rows)]
    kept = [line for line in lines[1:] if any(line[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(header), *kept))
