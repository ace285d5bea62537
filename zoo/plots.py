"""The pictures of a run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LABELLED_CLASSES = 30
MAX_LABEL = 18


def plot_curves(rows: Sequence[Mapping[str, float | int | str]], path: Path) -> None:
    """Loss, accuracy and learning rate by epoch, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    steps = np.arange(1, len(rows) + 1)
    for split, colour in (("train", "tab:blue"), ("val", "tab:orange")):
        name = "validation" if split == "val" else split
        style = {"color": colour, "marker": "o", "markersize": 3, "label": name}
        loss.plot(steps, [float(row[f"{split}_loss"]) for row in rows], **style)
        accuracy.plot(steps, [float(row[f"{split}_top1"]) for row in rows], **style)
    rate.plot(steps, [float(row["learning_rate"]) for row in rows], color="tab:green", marker="o", markersize=3)
    rate.set_yscale("log")
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    for axes, title in ((loss, "Loss"), (accuracy, "Accuracy"), (rate, "Learning rate")):
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        _mark_phases(axes, rows)
    loss.legend()
    accuracy.legend()
    _save(figure, path)


def _mark_phases(axes: object, rows: Sequence[Mapping[str, float | int | str]]) -> None:
    for index in range(1, len(rows)):
        if rows[index]["phase"] != rows[index - 1]["phase"]:
            axes.axvline(index + 0.5, color="grey", linestyle=":", linewidth=1)  # type: ignore[attr-defined]


def plot_confusion(counts: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """A confusion matrix as a PNG.

    Args:
        counts: int64 `[K, K]`: row = true class, column = predicted class.
    """
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labelled = len(classes) <= MAX_LABELLED_CLASSES
    side = max(4.5, min(12.0, 2.5 + 0.45 * len(classes)))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    axes.set(title=title.replace("$", r"\$"), xlabel="predicted", ylabel="true")
    if labelled:
        names = [_label(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        for row, column in np.argwhere(counts > 0):
            colour = "white" if shares[row, column] > 0.5 else "black"  # noqa: PLR2004
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    _save(figure, path)


def _label(name: str) -> str:
    short = name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"
    return short.replace("$", r"\$")  # two of them would mean mathematics


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Names in scripts that matplotlib's font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, dpi=120, format="png")
