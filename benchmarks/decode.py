"""Time of the data path, without a network: decoding once, compared with decoding in every epoch.

    python benchmarks/decode.py --photos FOLDER

zoo decodes every picture into its store in the first epoch, and cuts augmented views from there in all epochs.
torchvision's ImageFolder with a DataLoader (one persistent worker per core) decodes in each epoch. Both sides use the
same augmentation: first random crops and mirroring, then also brightness, contrast and saturation. zoo runs twice,
with an empty cache and with the cache of the first run.

Claimed: epochs from the second on take at least 5 times less time than ImageFolder's.

Every measurement is a separate process, in turns (data_epochs.py). FOLDER holds `train` with one folder per class.
The benchmark writes decode.json while it runs, then decode.md and decode.png.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import HERE, Results, machine, measured, median, parser

SIDES = {"zoo, empty cache": "zoo", "ImageFolder": "folder", "zoo, next run": "zoo"}
VARIATIONS = {"crop, mirror": 0.0, "crop, mirror, colours": 0.2}
CLAIMED = 5.0


def run(options: Any, results: Results) -> None:
    arguments = [options.photos.absolute() / "train", "--image-size", options.image_size, "--epochs", options.epochs]
    for pair in range(options.pairs):
        for variation, jitter in VARIATIONS.items():
            with tempfile.TemporaryDirectory() as folder:
                for side, which in SIDES.items():
                    command = [sys.executable, HERE / "data_epochs.py", which, *arguments, "--jitter", jitter]
                    found = measured(command, Path(folder), Path(folder))
                    printed = json.loads(found["stdout"].splitlines()[-1])
                    memory = round(found["peak_mib"])
                    results.add(variation=variation, side=side, pair=pair, **printed, mebibytes=memory)


def of(records: list[dict[str, Any]], variation: str, side: str) -> list[dict[str, Any]]:
    return [record for record in records if (record["variation"], record["side"]) == (variation, side)]


def by_epoch(records: list[dict[str, Any]]) -> list[float]:
    """The median of each epoch, ms per picture."""
    return [median(times) for times in zip(*(record["ms_per_picture"] for record in records), strict=True)]


def ratios(records: list[dict[str, Any]], variation: str) -> list[float]:
    """The time of ImageFolder's later epochs divided by zoo's, for each pair."""
    sides = (of(records, variation, side) for side in ("ImageFolder", "zoo, empty cache"))
    later = ([median(record["ms_per_picture"][1:]) for record in own] for own in sides)
    return [slow / fast for slow, fast in zip(*later, strict=True)]


def table(records: list[dict[str, Any]], size: int) -> str:
    lines = [
        f"| variation | data path, photos at {size} pixels | first epoch, ms per picture | later epochs "
        "| ImageFolder / zoo, later epochs | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for variation in VARIATIONS:
        found = ratios(records, variation)
        for side in SIDES:
            own = of(records, variation, side)
            times, memory = by_epoch(own), median(record["mebibytes"] for record in own)
            ratio = f"**{median(found):.1f}** ({min(found):.1f} to {max(found):.1f}, n = {len(found)})"
            lines.append(
                f"| {variation} | {side} | {times[0]:.2f} | {median(times[1:]):.2f} "
                f"| {ratio if side == 'zoo, empty cache' else ''} | {memory:,.0f} MiB |"
            )
    return "\n".join(lines) + f"\n\nClaimed: a ratio of at least {CLAIMED:.0f}. Memory is that of the main process.\n"


def plot(records: list[dict[str, Any]], size: int) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, len(VARIATIONS), sharey=True)
    for axes, variation in zip(panels, VARIATIONS, strict=True):
        for at, (side, colour) in enumerate(zip(SIDES, ("tab:blue", "tab:grey", "tab:cyan"), strict=True)):
            times = by_epoch(of(records, variation, side))
            places = [epoch + 0.27 * (at - 1) for epoch in range(1, len(times) + 1)]
            bars = axes.bar(places, times, 0.25, color=colour, label=side)
            axes.bar_label(bars, fmt="%.1f", fontsize=7)
        axes.set_xticks(range(1, 1 + len(times)))
        axes.set(xlabel="epoch", title=variation)
        axes.margins(y=0.12)
    panels[0].set_ylabel("ms per picture")
    panels[0].legend()
    figure.suptitle(f"Data path without a network, photos at {size} pixels")
    return figure


def main() -> None:
    made = parser(__doc__, pairs=3)
    made.add_argument("--photos", type=Path, required=True, help="Folder with train, and in it one folder per class.")
    made.add_argument("--image-size", type=int, default=224)
    made.add_argument("--epochs", type=int, default=5)
    options = made.parse_args()
    if options.quick:
        options.pairs, options.epochs = 1, 3
    results = Results("decode", options, machine=machine("numpy", "pillow"), image_size=options.image_size)
    run(options, results)
    results.finish(table(results.records, options.image_size), plot(results.records, options.image_size))


if __name__ == "__main__":
    main()
