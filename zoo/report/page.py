"""The report of an evaluation: one HTML file with its pictures inside.

It loads nothing: no script, no font, no picture from elsewhere. Its content security policy says so. Names, paths and
file contents are text, never markup: `report.html.jinja` escapes all values. The report shows pictures of the dataset,
so it needs the same protection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from zoo.artifacts.heat_pictures import heat_colours, under_heat
from zoo.evaluation.looking import maps_of_mistakes
from zoo.files import write_atomically, write_text
from zoo.report.html import clean, count, png
from zoo.report.plots import CURVES, MAX_COUNTED_CLASSES, plot_confusion, plot_curves, plot_reliability
from zoo.report.sections import Sections, run_sections

if TYPE_CHECKING:
    from jinja2 import Template

    from zoo.artifacts.heat_maps import HeatMap
    from zoo.evaluation.evaluation import Evaluation
    from zoo.evaluation.looking import Look
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


def draw_run(run: Run, evaluation: Evaluation, look: Look) -> None:
    """Writes confusion.png and report.html into a run's folder, each complete or not at all.

    Args:
        look: as of `write_report`.
    """
    title = f"{run.info.backbone} on {run.info.dataset.name}"
    heading = f"{title}: {evaluation.split_name} accuracy {evaluation.figures['top1']:.2%}"
    write_atomically(
        run.path / "confusion.png", lambda file: plot_confusion(evaluation.counts, evaluation.classes, heading, file)
    )
    sections, rows = run_sections(run), run.rows()
    write_report(run.path / "report.html", evaluation, title=title, sections=sections, rows=rows, look=look)


def write_report(
    path: Path,
    evaluation: Evaluation,
    *,
    title: str,
    sections: Sections,
    rows: Rows = (),
    notes: Sequence[str] = (),
    look: Look | None = None,
) -> None:
    """Writes a report, complete or not at all.

    Args:
        sections: more facts, by title.
        rows: of metrics.csv, if there was a training.
        notes: warnings at the top, one sentence each.
        look: the model that was evaluated, for heat maps of its mistakes.
    """
    maps = maps_of_mistakes(evaluation, look) if look else []
    write_text(
        path,
        _template().render(
            _facts(evaluation, maps), title=title, sections=_shown(sections), notes=notes, curves=_curves(rows)
        )
        + "\n",
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # `finalize` comes before the escaping of a value. Markup, which is made here alone, needs none of both.
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("zoo", "report"),
        finalize=lambda value: clean(value) if type(value) is str else value,
        undefined=StrictUndefined,
    )
    return environment.get_template("report.html.jinja")


def _facts(evaluation: Evaluation, maps: Sequence[HeatMap]) -> dict[str, Any]:
    figures, found, classes = evaluation.figures, evaluation.calibration, evaluation.classes
    mean = float((found.counts * found.confidence).sum() / found.counts.sum())
    mistakes, pairs = evaluation.mistakes(), evaluation.confusions()
    return {
        "split_name": evaluation.split_name,
        "accuracy": figures["top1"],
        "pictures": int(figures["num_pictures"]),
        "num_classes": len(classes),
        "tiles": [(words, format(figures[key], form), about) for key, words, form, about in FIGURES if key in figures],
        "unreadable": evaluation.unreadable,
        "shown_unreadable": SHOWN_UNREADABLE,
        "classes": _classes(evaluation),
        "shown_classes": SHOWN_CLASSES,
        "absent": len(classes) - len(evaluation.worst_first),
        "confusion": _confusion_plot(evaluation),
        "confusions": [(classes[true], classes[guess], often) for true, guess, often in pairs[:SHOWN_CONFUSIONS]],
        "side_by_side": len(classes) <= MAX_COUNTED_CLASSES,  # else the names are not readable at half the width
        "calibration": found,
        "confidence": mean,
        "reliability": _plot(
            f"Reliability diagram: mean confidence {mean:.1%}, accuracy {figures['top1']:.1%}, "
            f"calibration error {found.error:.1%}",
            lambda file, dark: plot_reliability(found, file, dark=dark),
        ),
        "num_mistakes": len(mistakes),
        "mistakes": [_mistake(evaluation, *mistake) for mistake in mistakes[:SHOWN_MISTAKES]],
        "maps": [_picture(under_heat(each)[1]) for each in maps],
        "method": maps[0].method if maps else "",
        "colours": _colours(),
    }


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    by_class = evaluation.by_class
    taken_for: dict[int, tuple[str, int]] = {}
    for true, guess, often in evaluation.confusions():
        taken_for.setdefault(true, (evaluation.classes[guess], often))
    rows = []
    for label in evaluation.worst_first:
        confused, times = taken_for.get(label, ("", 0))
        rows.append(
            {
                "name": evaluation.classes[label],
                "shares": [values[label] for values in (by_class.f1, by_class.precision, by_class.recall)],
                "pictures": by_class.support[label],
                "taken_for": confused,
                "times": times,
            }
        )
    return rows


def _confusion_plot(evaluation: Evaluation) -> dict[str, str]:
    counts, classes = evaluation.counts, evaluation.classes
    right, total = int(counts.trace()), int(counts.sum())
    alt = f"Confusion matrix of {count(len(classes), 'class', 'es')}: {right:,} of {total:,} pictures on the diagonal."
    return _plot(alt, lambda file, dark: plot_confusion(counts, classes, "Confusion matrix", file, dark=dark))


def _plot(alt: str, draw: Callable[[BinaryIO, bool], None]) -> dict[str, str]:
    """A drawing inside the document, drawn twice: for light and for dark screens."""

    def drawn(dark: bool) -> str:
        buffer = BytesIO()
        draw(buffer, dark)
        return _uri(buffer)

    return {"alt": alt, "light": drawn(False), "dark": drawn(True)}


def _uri(buffer: BytesIO) -> str:
    from markupsafe import Markup

    return Markup(png(buffer))  # noqa: S704


def _mistake(evaluation: Evaluation, index: int, true: int, guess: int, sure: float) -> dict[str, Any]:
    pictures = evaluation.split.pictures
    return {
        "where": "/".join(Path(pictures.name(index)).parts[-2:]),
        "thumbnail": _picture(pictures[index]),
        "actual": evaluation.classes[true],
        "guess": evaluation.classes[guess],
        "sure": sure,
    }


def _picture(picture: np.ndarray) -> str:
    """A thumbnail."""
    from PIL import Image

    from zoo.report.contact_sheet import mounted

    buffer = BytesIO()
    Image.fromarray(mounted(picture, THUMBNAIL)).save(buffer, "PNG")
    return _uri(buffer)


def _colours() -> str:
    """The colours of a heat map, from cold to hot."""
    from PIL import Image

    buffer = BytesIO()
    steps = np.linspace(0, 1, THUMBNAIL, dtype=np.float32)
    Image.fromarray(np.tile(heat_colours(steps), (8, 1, 1))).save(buffer, "PNG")
    return _uri(buffer)


def _curves(rows: Rows) -> list[dict[str, str]]:
    if not rows:
        return []
    alts = {curve: f"{curve} over {count(len(rows), 'epoch')}".capitalize() for curve in CURVES}
    return [_plot(alt, partial(_draw_curve, rows, curve)) for curve, alt in alts.items()]


def _draw_curve(rows: Rows, curve: Curve, file: BinaryIO, dark: bool) -> None:
    plot_curves(rows, file, which=[curve], dark=dark)


def _shown(sections: Sections) -> Sections:
    """Without empty values, and without sections that have no other."""
    kept = {title: {term: value for term, value in facts.items() if value} for title, facts in sections.items()}
    return {title: facts for title, facts in kept.items() if facts}
