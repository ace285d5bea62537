"""Plots the results of `zoo bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.report.html import count as counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from zoo.benchmarking.rounds import Measured

MARKERS = "osD^vP"
MIN_LABELLED = 0.12  # numbers of narrower bars would overlap
LONG_NAME = 40


def plot(found: Sequence[Measured], names: Mapping[int, str], path: Path) -> None:
    """Latency (median, and up to the 99th percentile) and throughput by batch size, as a PNG.

    Args:
        found: the settings that did not fail.
        names: of the artifacts, by `Setting.index`.
    """
    from matplotlib.figure import Figure

    lines = _lines(found)
    figure = Figure(figsize=(11, 4.2 + 0.2 * len(lines)), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    batches = sorted({result.setting.batch for result in found})
    threads = sorted({count for _, count in lines})
    for place, ((index, count), own) in enumerate(lines.items()):
        style = {
            "color": f"C{index % 10}",
            "alpha": 1.0 if count == threads[-1] else 0.55,
            "label": f"{names[index]}, {counted(count, 'thread')}",
        }
        marks = {"marker": MARKERS[threads.index(count) % len(MARKERS)], "markersize": 5}
        marks["linestyle"] = "-" if count == threads[-1] else "--"
        _draw_latency(latency, own, (place - (len(lines) - 1) / 2) * 0.02, style | marks)
        width = 0.8 / len(lines)
        places = [batches.index(r.setting.batch) + (place - (len(lines) - 1) / 2) * width for r in own]
        _draw_throughput(throughput, own, places, width, style)
    latency.set(xscale="log", yscale="log", xlabel="batch size", ylabel="ms per call", ylim=_decades(found))
    latency.set_title("Latency: median, and up to p99", loc="left", fontsize=11)
    latency.set_xticks(batches, map(str, batches))
    latency.minorticks_off()
    throughput.set_xticks(range(len(batches)), map(str, batches))
    throughput.set(xlabel="batch size", ylabel="pictures per second")
    throughput.set_title("Throughput: median, minimum and maximum of the rounds", loc="left", fontsize=11)
    for axes in (latency, throughput):
        axes.margins(y=0.08)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    columns = 1 if max(map(len, names.values())) > LONG_NAME else 2
    figure.legend(*latency.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    figure.savefig(path, dpi=120, format="png")


def _lines(found: Sequence[Measured]) -> dict[tuple[int, int], list[Measured]]:
    lines: dict[tuple[int, int], list[Measured]] = {}
    for result in found:
        lines.setdefault((result.setting.index, result.setting.threads), []).append(result)
    return lines


def _draw_latency(axes: Axes, own: Sequence[Measured], shift: float, style: dict[str, Any]) -> None:
    """`shift`, in decades of the batch size, keeps the bars of several lines apart."""
    middle = [result.latency_ms["p50"] for result in own]
    above = [result.latency_ms["p99"] - result.latency_ms["p50"] for result in own]
    bars: Any = ([0.0] * len(own), above)
    axes.errorbar([r.setting.batch * 10**shift for r in own], middle, bars, capsize=2, elinewidth=1, **style)


def _draw_throughput(
    axes: Axes, own: Sequence[Measured], places: Sequence[float], width: float, style: dict[str, Any]
) -> None:
    rates = [result.throughput for result in own]
    least, most = ([end(result.throughputs) for result in own] for end in (min, max))
    axes.bar(places, rates, width * 0.92, **style)
    axes.vlines(places, least, most, color="0.25", linewidth=1)
    if width > MIN_LABELLED:
        for place, rate in zip(places, rates, strict=True):
            number: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "rotation": 90}
            axes.annotate(f"{float(f'{rate:.3g}'):,g}", (place, 0), (0, 3), **number)


def _decades(found: Sequence[Measured]) -> tuple[float, float]:
    low = min(result.latency_ms["p50"] for result in found)
    high = max(result.latency_ms["p99"] for result in found)
    return 10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high))
