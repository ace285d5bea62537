"""`zoo bench`: latency, throughput and memory of exported files, measured in turns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import ArtifactDevice
from zoo.cli.output_file import check_target, require_train_extra, writing
from zoo.cli.signals import ending
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.benchmarking.bench import Benchmark
    from zoo.benchmarking.rounds import Measured

MEBI = 2**20


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Files that `zoo export` wrote.")],
    *,
    batch_sizes: Annotated[str, typer.Option(metavar="N,N,…", help="Batch sizes to measure.")] = "1,8,32",
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…", help="Numbers of threads to measure. Default: 1, and all cores.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Seconds for each setting. Default: 3, or less if there are many settings.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Size of the pictures. Default: the network's own.", show_default=False),
    ] = None,
    device: ArtifactDevice = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: every round too.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw a plot too.")] = None,
) -> None:
    """Measure exported files: latency, throughput and memory by batch size and threads.

    Each file runs in a process of its own, and they take turns: what disturbs the machine disturbs all of them. Ratios
    are to the first file.

    Examples:

        zoo bench model.onnx

        zoo bench fp32.onnx int8.onnx --batch-sizes 1 --threads 1,2,4 --plot bench.png
    """
    from zoo.benchmarking.bench import bench as measure
    from zoo.benchmarking.plot import plot as draw
    from zoo.cli.console import warn
    from zoo.files import write_atomically

    counts = _numbers("--threads", threads) if threads else None
    batches = _numbers("--batch-sizes", batch_sizes)
    if plot:
        require_train_extra("Drawing a plot", "matplotlib")
        check_target(plot, "--plot", "A plot is a PNG file", ".png")
    with ending():
        found = measure(
            artifacts,
            batch_sizes=batches,
            threads=counts,
            seconds=seconds,
            size=_size(size),
            device=device,
            progress=True,
        )
    for sentence in _failures(found):
        warn(sentence)
    if as_json:
        _print_json(found)
    elif found.good:
        _print(found)
    if plot and found.good:
        with writing(plot, "--plot"):
            write_atomically(plot, lambda path: draw(found.good, found.names, path))
    if len(found.good) < len(found.results):
        raise typer.Exit(1)


def _numbers(option: str, text: str) -> list[int]:
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise UsageError(f"{option} cannot be '{text}'.", f"Give whole numbers from 1 with commas: {option} 1,8")
    return found


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):  # noqa: PLR2004
        raise UsageError(f"--size cannot be '{text}'.", "Give height and width in pixels: --size 480x640")
    return int(parts[0]), int(parts[1])


def _failures(found: Benchmark) -> list[str]:
    """What fails in the same way with every setting of a file is said once of the file."""
    from zoo.report.html import count

    sentences = []
    for index, name in found.names.items():
        own = [result for result in found.results if result.setting.index == index]
        if own[0].failure and len({result.failure for result in own}) == 1:
            sentences.append(f"{name} fails: {own[0].failure}")
            continue
        for result in own:
            if result.failure:
                threads = count(result.setting.threads, "thread")
                sentences.append(f"{name} ({threads}, batch {result.setting.batch}) fails: {result.failure}")
    return sentences


def _print(found: Benchmark) -> None:
    import numpy as np

    from zoo.cli.console import stdout
    from zoo.cli.tables import print_table

    rows = []
    for result in found.good:
        setting, base = result.setting, found.base(result)
        row = [
            found.names[setting.index],
            f"{setting.height}x{setting.width}",
            str(setting.threads),
            str(setting.batch),
        ]
        row += [f"{value:.4g}" for value in result.latency_ms.values()]
        row += [f"{result.throughput:.4g}"]
        if base is None:
            row.append("")
        elif setting.index == 0:
            row.append("1")
        else:
            ratios = result.ratios(base)
            row.append(f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        rows.append([*row, f"{result.loaded_bytes / MEBI:,.0f}", f"{result.peak_bytes / MEBI:,.0f}"])
    heads = ("file", "HxW", "threads", "batch", "p50 ms", "p95 ms", "p99 ms", "pictures/s", "ratio to the first")
    print_table((*heads, "loaded MiB", "peak MiB"), rows)
    noise = max((max(r.throughputs) - min(r.throughputs)) / r.throughput for r in found.good)
    calls = min(sum(map(len, result.rounds)) for result in found.good)
    stdout().print(
        f"\nFrom round to round the throughput of one setting varied by up to {noise:.0%}; a ratio whose range holds 1 "
        f"tells no difference. Percentiles are of at least {calls} calls. Memory is above a bare Python.",
        markup=False,
    )


def _print_json(found: Benchmark) -> None:
    import os
    import platform

    from zoo.cli.tables import print_json

    machine = {"system": platform.platform(), "processor": platform.processor(), "cores": os.cpu_count()}
    about = {"device": found.device, "seconds": found.seconds, "machine": machine}
    print_json({**about, "results": [_record(result, found.base(result)) for result in found.results]})


def _record(result: Measured, base: Measured | None) -> dict[str, Any]:
    setting = result.setting
    about = {"artifact": str(setting.artifact), "threads": setting.threads, "batch_size": setting.batch}
    about |= {"height": setting.height, "width": setting.width}
    if result.failure:
        return {**about, "error": result.failure}
    return {
        **about,
        "latency_ms": result.latency_ms,
        "pictures_per_second": result.throughput,
        "calls": sum(map(len, result.rounds)),
        "rounds": result.throughputs,
        "ratios_to_first": result.ratios(base) if base else None,
        "load_seconds": result.load_seconds,
        "loaded_bytes": result.loaded_bytes,
        "peak_bytes": result.peak_bytes,
    }
