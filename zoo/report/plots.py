"""The plots of a run, each on a light or a dark background."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zoo.metrics import CalibrationCurve

Rows = Sequence[Mapping[str, float | int | str]]
Target = Path | BinaryIO
Curve = Literal["loss", "accuracy", "learning rate"]

CURVES: tuple[Curve, ...] = ("loss", "accuracy", "learning rate")
MAX_COUNTED_CLASSES = 30  # more counts would not fit into their cells
MAX_LABELLED_CLASSES = 100
MAX_LABEL = 18
DARK_GROUND, DARK_INK = "#16191d", "#d7dbe0"


def plot_curves(rows: Rows, target: Target, *, which: Sequence[Curve] = CURVES, dark: bool = False) -> None:
    """Loss, accuracy and learning rate by epoch, as a PNG.

    Args:
        rows: of metrics.csv, as numbers or texts; missing values are left out of the curve.
        which: the curves to draw, side by side.
    """
    from matplotlib.ticker import MaxNLocator

    with _figure(target, (4.4 * len(which), 3.6), dark=dark) as figure:
        panels = figure.subplots(1, len(which), squeeze=False)[0]
        for axes, name in zip(panels, which, strict=True):
            if name == "learning rate":
                _plot_rate(axes, rows)
            else:
                _plot_splits(axes, rows, "loss" if name == "loss" else "top1")
            axes.set(title=name.capitalize(), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            _mark_phases(axes, rows)


def _plot_splits(axes: Axes, rows: Rows, column: str) -> None:
    from matplotlib.ticker import PercentFormatter

    for split, colour in (("train", "tab:blue"), ("val", "tab:orange")):
        name = "validation" if split == "val" else split
        values = _values(rows, f"{split}_{column}")
        axes.plot(_epochs(rows), values, color=colour, marker="o", markersize=3, label=name)
    if column == "top1":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.legend()


def _plot_rate(axes: Axes, rows: Rows) -> None:
    values = _values(rows, "learning_rate")
    axes.plot(_epochs(rows), values, color="tab:green", marker="o", markersize=3)
    if np.nanmax(values, initial=0) > 0:
        axes.set_yscale("log")


def _epochs(rows: Rows) -> np.ndarray:
    return np.arange(1, len(rows) + 1)


def _values(rows: Rows, column: str) -> np.ndarray:
    return np.array([_number(row.get(column)) for row in rows])


def _number(value: float | str | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.nan


def _mark_phases(axes: Axes, rows: Rows) -> None:
    phases = [str(row.get("phase", "")) for row in rows]
    starts = [index for index in range(len(rows)) if index == 0 or phases[index] != phases[index - 1]]
    if len(starts) < 2:  # noqa: PLR2004
        return
    for index in starts:
        if index:
            axes.axvline(index + 0.5, color="grey", linestyle=":", linewidth=1)
        place: Any = {"xy": (index + 0.5 if index else 1, 1), "xycoords": axes.get_xaxis_transform()}
        offset: Any = {"xytext": (3, -9), "textcoords": "offset points"}
        axes.annotate(_label(phases[index]), fontsize=8, color="grey", **place, **offset)


def plot_sweep(rates: np.ndarray, losses: np.ndarray, suggestion: float | None, present: float, path: Path) -> None:
    """A learning-rate range test as a PNG: smoothed losses `[n]` over rates `[n]`, and the suggested rate."""
    with _figure(path, (7, 4), dark=False) as figure:
        axes = figure.subplots()
        _draw_sweep(axes, rates, losses, suggestion, present)


def _draw_sweep(axes: Axes, rates: np.ndarray, losses: np.ndarray, suggestion: float | None, present: float) -> None:
    axes.plot(rates, losses, color="tab:blue")
    axes.axvline(present, color="grey", linestyle=":", label=f"now: {present:.2g}")
    if suggestion is None:
        axes.plot([], [], " ", label="no suggestion: keep the rate")
    else:
        chosen = float(np.interp(np.log(suggestion), np.log(rates), losses))
        axes.plot([suggestion], [chosen], "o", color="tab:orange", label=f"steepest descent: {suggestion:.2g}")
    axes.set_ylim(float(losses.min()) * 0.95, float(losses[0]) * 1.5)
    axes.set(xscale="log", xlabel="learning rate of the head", ylabel="loss, smoothed")
    axes.grid(alpha=0.3)
    axes.legend()


def plot_confusion(
    counts: np.ndarray, classes: Sequence[str], title: str, target: Target, *, dark: bool = False
) -> None:
    """A confusion matrix as a PNG.

    Args:
        counts: int64 `[K, K]`: row = true class, column = predicted class.
    """
    from matplotlib.colors import PowerNorm

    size = len(classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.5, min(12.0, 2.5 + 0.45 * size))
    with _figure(target, (side + 0.8, side), dark=dark) as figure:
        axes = figure.subplots()
        # Few mistakes among many classes would be invisible on a linear scale.
        norm = PowerNorm(1 if size <= MAX_COUNTED_CLASSES else 0.5, vmin=0, vmax=1)
        image = axes.imshow(shares, cmap="cividis" if dark else "Blues", norm=norm, interpolation="nearest")
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
        axes.set(title=_plain(title), xlabel="predicted", ylabel="true")
        _name_classes(axes, classes)
        if size <= MAX_COUNTED_CLASSES:
            for row, column in np.argwhere(counts > 0):
                colour = "white" if (shares[row, column] > 0.5) != dark else "black"  # noqa: PLR2004
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Names all classes, or as many evenly spaced ones as are readable."""
    size = len(classes)
    small = size > MAX_COUNTED_CLASSES
    step = math.ceil(size / MAX_LABELLED_CLASSES)
    places = range(0, size, step)
    names = [_label(classes[place]) for place in places]
    style: dict[str, Any] = {"fontsize": 6} if small else {}
    upright = {"rotation": 90} if small else {"rotation": 45, "ha": "right"}
    axes.set_xticks(places, names, **upright, **style)
    axes.set_yticks(places, names, **style)


def plot_reliability(found: CalibrationCurve, target: Target, *, dark: bool = False) -> None:
    """Accuracy against confidence (Guo et al. 2017, https://arxiv.org/abs/1706.04599), as a PNG.

    The height of a bar is the mean accuracy of its bin. The lower panel shows the share of pictures in each bin.
    """
    from matplotlib.ticker import PercentFormatter

    bins = len(found.counts)
    left = np.arange(bins) / bins
    full = found.counts > 0
    with _figure(target, (4.4, 4.6), dark=dark) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.bar(
            left[full],
            found.accuracy[full],
            1 / bins,
            align="edge",
            color="tab:blue",
            edgecolor="white",
            label="accuracy",
        )
        axes.plot((0, 1), (0, 1), color="grey", linestyle="--", linewidth=1, label="perfect calibration")
        axes.plot(found.confidence[full], found.accuracy[full], "o", color="tab:orange", markersize=4)
        axes.set(title="Reliability", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        axes.legend(loc="upper left", fontsize=8)
        below.bar(left, found.counts / max(1, found.counts.sum()), 1 / bins, align="edge", color="grey")
        below.set(xlabel="confidence", ylabel="pictures", ylim=(0, 1))
        for panel in (axes, below):
            panel.yaxis.set_major_formatter(PercentFormatter(xmax=1))
            panel.xaxis.set_major_formatter(PercentFormatter(xmax=1))
            panel.grid(alpha=0.3)


def _plain(text: str) -> str:
    # File names may have bytes that are not text, which fonts cannot draw; two dollars would start a formula.
    return "".join(c if c.isprintable() else "\ufffd" for c in text).replace("$", r"\$")


def _label(name: str) -> str:
    return _plain(name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…")


@contextmanager
def _figure(target: Target, size: tuple[float, float], *, dark: bool) -> Iterator[Figure]:
    """A figure, in inches, that is written to `target` if the context ends without an error."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    theme: Any = dict.fromkeys(inked, DARK_INK) | dict.fromkeys(grounds, DARK_GROUND) if dark else {}
    with mpl.rc_context(theme), warnings.catch_warnings():
        # Names in scripts that matplotlib's font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        figure.savefig(target, dpi=120, format="png")
