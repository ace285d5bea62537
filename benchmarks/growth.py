"""Wall time and peak memory of `zoo train` from 1,000 to 60,000 pictures: resident, memory-mapped and streamed.

    python benchmarks/growth.py --mnist FOLDER

FOLDER holds the complete MNIST as torchvision stores it (`MNIST/raw/...`). Its training digits are written once, as
PNG files in class folders. `zoo train resnet18` then trains one epoch on the first 1,000, 4,000, 15,000 and 60,000 of
them. These are whole processes with empty caches (the system's file cache stays). The decoded pictures are kept in one
of three ways:

    resident       in memory: the options' defaults
    memory-mapped  in a mapped file of the cache folder: --cache-budget 2MiB
    streamed       nowhere; they are decoded when they are needed: --cache-budget 2MiB --disk-budget 0

Claimed: wall time is linear. The time of an additional picture differs by at most 10% between the last step (15,000 to
60,000) and those before it. Anonymous memory grows by no more than the budget plus 500 bytes of bookkeeping per
picture. The peak of the resident set is given too. It counts the pages of mapped files, which the system takes back.

The benchmark writes growth.json while it runs, then growth.md and growth.png.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from measure import Results, machine, parser, zoo_train

BUDGET = "2MiB"  # less than 500 pictures need, so that no mode falls back to memory
MODES = {
    "resident": [],
    "memory-mapped": ["--cache-budget", BUDGET],
    "streamed": ["--cache-budget", BUDGET, "--disk-budget", "0"],
}
SIZES = (1_000, 4_000, 15_000, 60_000)
QUICK_SIZES = (500, 1_000, 2_000)
TRAINING = ["--strategy", "full", "--weights", "none", "--epochs", "1", "--image-size", "28", "--augment", "digits"]


def write_pictures(mnist: Path, folder: Path, sizes: tuple[int, ...]) -> None:
    """Writes `folder/N/CLASS/INDEX.png` for each size N: the largest as files, the others as links to them."""
    from PIL import Image

    from zoo.data.prepare import load_dataset
    from zoo.recipes.recipe import Recipe

    dataset = load_dataset(Recipe.make(backbone="resnet18", dataset="mnist", data_root=str(mnist)))[1]
    if len(dataset.train) < max(sizes):
        raise SystemExit(f"{mnist} holds {len(dataset.train):,} digits, fewer than {max(sizes):,}.")
    for size in sizes:
        for name in dataset.classes:
            (folder / str(size) / name).mkdir(parents=True)
    largest = folder / str(max(sizes))
    for index, label in enumerate(dataset.train.labels[: max(sizes)].tolist()):
        name = Path(dataset.classes[label]) / f"{index:05}.png"
        Image.fromarray(dataset.train.pictures[index][..., 0]).save(largest / name, compress_level=1)
        for size in sizes:
            if index < size < max(sizes):
                os.link(largest / name, folder / str(size) / name)


def run(options: Any, results: Results, folder: Path, sizes: tuple[int, ...]) -> None:
    write_pictures(options.mnist.absolute(), folder, sizes)
    for pair in range(options.pairs):
        for size in sizes:
            for mode in options.modes:
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    work, pictures = Path(place), folder / str(size)
                    found = zoo_train(work, work, "resnet18", pictures, *TRAINING, *MODES[mode])
                results.add(
                    mode=mode,
                    pictures=size,
                    pair=pair,
                    seconds=round(found["seconds"], 2),
                    cpu_seconds=round(found["cpu_seconds"], 2),
                    training_seconds=sum(float(row["seconds"]) for row in found["epochs"]),
                    peak_mib=round(found["peak_mib"]),
                    anonymous_mib=found["anonymous_mib"],
                    said=[line for line in found["stderr"].splitlines() if "Decoded pictures" in line],
                )


def best(records: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    """One record per size: the fastest, because other work on the machine can only make a run slower."""
    own = [record for record in records if record["mode"] == mode]
    sizes = sorted({record["pictures"] for record in own})
    return [min((r for r in own if r["pictures"] == size), key=lambda r: r["seconds"]) for size in sizes]


def per_picture(first: dict[str, Any], last: dict[str, Any], figure: str) -> float:
    """How much of a figure each picture adds between two sizes."""
    added: float = (last[figure] - first[figure]) / (last["pictures"] - first["pictures"])
    return added


def table(records: list[dict[str, Any]], modes: list[str]) -> str:
    lines = [
        "| pictures | kept | wall time, s | CPU time, s | training epoch, s | ms per additional picture "
        "| peak memory, MiB | of it anonymous, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for mode in modes:
        rows = best(records, mode)
        for before, row in zip([None, *rows], rows, strict=False):
            added = f"{1000 * per_picture(before, row, 'seconds'):.2f}" if before else ""
            anonymous = "" if row["anonymous_mib"] is None else f"{row['anonymous_mib']:,.0f}"
            lines.append(
                f"| {row['pictures']:,} | {mode} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
                f"| {row['training_seconds']:.1f} | {added} | {row['peak_mib']:,} | {anonymous} |"
            )
        notes.append(note(mode, rows))
    return "\n".join([*lines, "", *notes]) + "\n"


def note(mode: str, rows: list[dict[str, Any]]) -> str:
    """The measured values of the claims, in one line."""
    early, late = per_picture(rows[0], rows[-2], "seconds"), per_picture(rows[-2], rows[-1], "seconds")
    sentence = f"- {mode}: an additional picture costs {late / early - 1:+.0%} in the last step"
    if rows[0]["anonymous_mib"] is not None:
        grown = rows[-1]["anonymous_mib"] - rows[0]["anonymous_mib"]
        each = 2**20 * per_picture(rows[0], rows[-1], "anonymous_mib")
        sentence += f"; anonymous memory grows by {grown:,.0f} MiB, {each:,.0f} bytes per picture"
    return sentence + "."


def plot(records: list[dict[str, Any]], modes: list[str]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for mode, colour in zip(modes, ("tab:blue", "tab:orange", "tab:green"), strict=False):
        rows = best(records, mode)
        sizes = [row["pictures"] for row in rows]
        times.plot(sizes, [row["seconds"] for row in rows], "o-", color=colour, label=mode)
        memory.plot(sizes, [row["peak_mib"] for row in rows], "o--", color=colour, label=f"{mode}, peak")
        if rows[0]["anonymous_mib"] is not None:
            values = [row["anonymous_mib"] for row in rows]
            memory.plot(sizes, values, "s-", color=colour, label=f"{mode}, anonymous")
    times.set(xlabel="pictures", ylabel="wall time in seconds", title="zoo train resnet18, one epoch at 28 pixels")
    memory.set(xlabel="pictures", ylabel="MiB", title="memory of the process")
    for axes in (times, memory):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def main() -> None:
    made = parser(__doc__, pairs=1)
    made.add_argument("--mnist", type=Path, required=True, help="Folder with the complete files in MNIST/raw.")
    made.add_argument("--modes", nargs="+", choices=tuple(MODES), default=list(MODES))
    options = made.parse_args()
    sizes = QUICK_SIZES if options.quick else SIZES
    results = Results("growth", options, machine=machine("numpy", "pillow"), modes=MODES, training=TRAINING)
    with tempfile.TemporaryDirectory() as folder:
        run(options, results, Path(folder), sizes)
    results.finish(table(results.records, options.modes), plot(results.records, options.modes))


if __name__ == "__main__":
    main()
