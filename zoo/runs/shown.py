"""How a run shows itself: one line, and a table in a notebook."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from zoo.html import count, facts, png

if TYPE_CHECKING:
    from zoo.runs.run import Run

SHOWN_CLASSES = 10


def line_of(run: Run) -> str:
    """One line: where it is, what was trained, and how good it is."""
    top1 = run.metrics.get("top1")
    good = run.info.status if top1 is None else f"{run.info.metrics_split} accuracy {top1:.2%}"
    about = f"{run.info.backbone} on {run.info.dataset.name}, {count(len(run.classes), 'class', 'es')}"
    return f"Run('{run.path}': {about}, {good})"


def html_of(run: Run) -> str:
    """A table of facts, and the curves if they were drawn."""
    info, classes = run.info, ", ".join(run.classes[:SHOWN_CLASSES])
    more = len(run.classes) - SHOWN_CLASSES
    rows = [
        ("status", info.status),
        ("backbone", f"{info.backbone}, weights: {info.weights.name}"),
        ("dataset", info.dataset.name),
        ("classes", f"{classes} and {more} more" if more > 0 else classes),
        ("image size", f"{run.preprocess.image_size} pixels"),
        ("best epoch", str(info.best_epoch or "")),
        *((f"{info.metrics_split} {name}", f"{value:.6g}") for name, value in info.metrics.items()),
    ]
    try:
        curves = f"<img alt='curves' src='{png(BytesIO((run.path / 'curves.png').read_bytes()))}'>"
    except OSError:  # a run of one epoch, or one without matplotlib
        curves = ""
    return facts(str(run.path), rows) + curves
