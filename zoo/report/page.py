"""The report of an evaluation: one HTML file with its pictures inside.

It loads nothing: no script, no font, no picture from elsewhere. Its content security policy says so. Names, paths and
file contents are text, never markup. The report shows pictures of the dataset, so it needs the same protection.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from zoo.files import write_atomically, write_text
from zoo.report.html import count, name, plot, png, section, table, text
from zoo.report.plots import CURVES, MAX_COUNTED_CLASSES, plot_confusion, plot_curves, plot_reliability
from zoo.report.sections import Sections, run_sections

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.evaluation import Evaluation
    from zoo.report.plots import Curve, Rows
    from zoo.runs.run import Run

SHOWN_CLASSES = 20
SHOWN_CONFUSIONS = 10
SHOWN_MISTAKES = 24
SHOWN_UNREADABLE = 50
THUMBNAIL = 144  # pixels

# Key in `zoo.metrics.summarise`, title, format, and what it is.
FIGURES = (
    ("top1", "Accuracy", ".2%", "share of pictures whose most probable class is the true one"),
    ("top5", "Top-5 accuracy", ".2%", "share of pictures with the true class among the five most probable"),
    ("macro_f1", "Macro F1", ".2%", "mean F1 of the classes, with equal weights"),
    ("macro_recall", "Macro recall", ".2%", "mean recall of the classes, with equal weights"),
    ("loss", "Loss", ".4f", "cross-entropy in nats; lower is better"),
    ("ece", "Calibration error", ".2%", "expected difference between confidence and accuracy"),
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def draw_run(run: Run, evaluation: Evaluation) -> None:
    """Writes confusion.png and report.html into a run's folder, each complete or not at all."""
    title = f"{run.info.backbone} on {run.info.dataset.name}"
    heading = f"{title}: {evaluation.split_name} accuracy {evaluation.figures['top1']:.2%}"
    write_atomically(
        run.path / "confusion.png", lambda file: plot_confusion(evaluation.counts, evaluation.classes, heading, file)
    )
    write_report(run.path / "report.html", evaluation, title=title, sections=run_sections(run), rows=run.rows())


def write_report(
    path: Path,
    evaluation: Evaluation,
    *,
    title: str,
    sections: Sections,
    rows: Rows = (),
    notes: Sequence[str] = (),
) -> None:
    """Writes a report, complete or not at all.

    Args:
        sections: more facts, by title.
        rows: of metrics.csv, if there was a training.
        notes: warnings at the top, one sentence each.
    """
    write_text(path, _page(evaluation, title, sections, rows, notes))


def _page(evaluation: Evaluation, title: str, sections: Sections, rows: Rows, notes: Sequence[str]) -> str:
    style = files("zoo.report").joinpath("report.css").read_text(encoding="utf-8")
    figures = evaluation.figures
    parts = [
        f"<header><h1>{text(title)}</h1><p class='quiet'>{text(evaluation.split_name)} accuracy {figures['top1']:.2%}"
        f" on {count(int(figures['num_pictures']), 'picture')} of {count(len(evaluation.classes), 'class', 'es')}</p>"
        + "".join(f"<p class='note'>{text(note)}</p>" for note in notes)
        + "</header>",
        _tiles(evaluation),
        _classes(evaluation),
        _confusion(evaluation),
        _calibration(evaluation),
        _mistakes(evaluation),
        _curves(rows),
        _facts(sections),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{text(title)}</title><style>{style}</style></head>\n<body><main>"
        + "\n".join(parts)
        + "</main></body></html>\n"
    )


def _tiles(evaluation: Evaluation) -> str:
    figures = evaluation.figures
    tiles = [
        f"<div class='tile'><dt>{words}</dt><dd><div class='value'>{figures[key]:{form}}</div>"
        f"<div class='about'>{about}</div></dd></div>"
        for key, words, form, about in FIGURES
        if key in figures
    ]
    return f"<dl class='tiles'>{''.join(tiles)}</dl>{_unreadable(evaluation.unreadable)}"


def _unreadable(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences[:SHOWN_UNREADABLE])
    more = len(sentences) - SHOWN_UNREADABLE
    rest = f"<p>And {more:,} more.</p>" if more > 0 else ""
    title = (
        f"{count(len(sentences), 'picture')} could not be read and {'is' if len(sentences) == 1 else 'are'} left out"
    )
    return f"<details><summary>{title}</summary><ul>{items}</ul>{rest}</details>"


def _classes(evaluation: Evaluation) -> str:
    by_class, order = evaluation.by_class, evaluation.worst_first
    taken_for: dict[int, tuple[int, int]] = {}
    for true, guess, often in evaluation.confusions():
        taken_for.setdefault(true, (guess, often))

    def row(label: int) -> list[str]:
        guess = taken_for.get(label)
        return [
            name(evaluation.classes[label]),
            *(f"{values[label]:.1%}" for values in (by_class.f1, by_class.precision, by_class.recall)),
            f"{by_class.support[label]:,}",
            f"{name(evaluation.classes[guess[0]])} ({guess[1]:,})" if guess else "",
        ]

    headers = ("class", "F1", "precision", "recall", "pictures", "most often confused with")
    listed = table("Figures of each class", headers, [row(label) for label in order[:SHOWN_CLASSES]], {0, 5})
    rest = [row(label) for label in order[SHOWN_CLASSES:]]
    if rest:
        more = table("Figures of the other classes", headers, rest, {0, 5})
        listed += f"<details><summary>{count(len(rest), 'more class', 'es')}</summary>{more}</details>"
    absent = len(evaluation.classes) - len(order)
    note = (
        f"<p class='quiet'>Left out: {count(absent, 'class', 'es')} of the model without pictures here.</p>"
        if absent
        else ""
    )
    return section("Classes", f"<p class='quiet'>Lowest F1 first.</p>{listed}{note}")


def _confusion(evaluation: Evaluation) -> str:
    pairs = evaluation.confusions()
    counts, classes = evaluation.counts, evaluation.classes
    right, total = int(counts.trace()), int(counts.sum())
    alt = f"Confusion matrix of {count(len(classes), 'class', 'es')}: {right:,} of {total:,} pictures on the diagonal."
    drawing = plot(alt, lambda file, dark: plot_confusion(counts, classes, "Confusion matrix", file, dark=dark))
    cells = [
        [name(classes[true]), name(classes[guess]), f"{often:,}"] for true, guess, often in pairs[:SHOWN_CONFUSIONS]
    ]
    headers = ("true class", "predicted class", "pictures")
    listed = table("Most frequent confusions", headers, cells, {0, 1}) if cells else ""
    title = "<h3>Most frequent confusions</h3>" if cells else "<p>No picture was misclassified.</p>"
    # Side by side if the names are readable at half the width.
    kind = "plots" if len(classes) <= MAX_COUNTED_CLASSES else "stack"
    return section("Confusion", f"<div class='{kind}'><div>{drawing}</div><div>{title}{listed}</div></div>")


def _calibration(evaluation: Evaluation) -> str:
    found = evaluation.calibration
    mean = float((found.counts * found.confidence).sum() / found.counts.sum())
    accuracy = evaluation.figures["top1"]
    alt = (
        f"Reliability diagram: mean confidence {mean:.1%}, accuracy {accuracy:.1%}, calibration error {found.error:.1%}"
    )
    drawing = plot(alt, lambda file, dark: plot_reliability(found, file, dark=dark))
    tendency = "overconfident" if mean > accuracy else "underconfident"
    words = (
        f"<p>The mean confidence of the answers is {mean:.1%}, and {accuracy:.1%} of them are right. On the whole, the "
        f"model is {tendency}. The expected calibration error is {found.error:.2%}, over {len(found.counts)} bins of "
        "equal width.</p>"
        "<p class='quiet'>If a bar ends on the dashed line, its confidence can be trusted. Bars with few pictures say "
        "little. The lower panel shows the share of pictures in each bar.</p>"
    )
    return section("Calibration", f"<div class='plots'><div>{drawing}</div><div>{words}</div></div>")


def _mistakes(evaluation: Evaluation) -> str:
    found, classes, pictures = evaluation.mistakes(), evaluation.classes, evaluation.split.pictures
    if not found:
        return section(
            "Mistakes", f"<p>None: every {text(evaluation.split_name)} picture was classified correctly.</p>"
        )
    items = []
    for index, true, guess, sure in found[:SHOWN_MISTAKES]:
        where = text("/".join(Path(pictures.name(index)).parts[-2:]))
        items.append(
            f"<li><figure><img alt='The picture {where}' title='{where}' src='{_thumbnail(pictures[index])}'>"
            f"<figcaption>{name(classes[true])}<br>predicted: <strong>{name(classes[guess])}</strong> "
            f"<span class='quiet'>{sure:.1%}</span></figcaption></figure></li>"
        )
    shown = f"The {len(items)} most confident of" if len(found) > len(items) else "All"
    about = f"<p class='quiet'>{shown} {count(len(found), 'mistake')}, with the probability of the wrong class. "
    return section("Mistakes", f"{about}Wrong labels show up here first.</p><ul class='sheet'>{''.join(items)}</ul>")


def _thumbnail(picture: np.ndarray) -> str:
    from zoo.report.contact_sheet import GAP, contact_sheet

    sheet = contact_sheet([picture], [""], columns=1, side=THUMBNAIL)
    buffer = BytesIO()
    sheet.crop((GAP, GAP, GAP + THUMBNAIL, GAP + THUMBNAIL)).save(buffer, "PNG")
    return png(buffer)


def _curves(rows: Rows) -> str:
    if not rows:
        return ""
    plots = "".join(
        plot(f"{curve} over {count(len(rows), 'epoch')}".capitalize(), partial(_draw_curve, rows, curve))
        for curve in CURVES
    )
    return section("Training", f"<div class='plots'>{plots}</div>")


def _draw_curve(rows: Rows, curve: Curve, file: BinaryIO, dark: bool) -> None:
    plot_curves(rows, file, which=[curve], dark=dark)


def _facts(sections: Sections) -> str:
    blocks = []
    for title, facts in sections.items():
        pairs = "".join(f"<dt>{text(term)}</dt><dd>{text(value)}</dd>" for term, value in facts.items() if value)
        if pairs:
            blocks.append(f"<h3>{text(title)}</h3><dl class='facts'>{pairs}</dl>")
    return section("Where it comes from", "".join(blocks)) if blocks else ""
