"""Pictures per second of `zoo predict` over files, compared with onnxruntime on the same pictures in memory.

    python benchmarks/predict.py --case MODEL.onnx FOLDER [--case MODEL.onnx FOLDER ...]

The ceiling is `InferenceSession.run` with onnxruntime's defaults on the pictures of FOLDER. They are decoded before
the clock starts, and stacked in batches of up to 32 of one size. zoo's side is what the command does between loading
the model and printing its rows: it opens and decodes every file, groups sizes, runs, ranks the classes, and keeps the
order.

Claimed: zoo reaches at least 0.9 of the ceiling with ResNet18 at 224 pixels. Both sides keep all cores busy, so
decoding costs time. The ratio is smaller for a light network.

The sides run in turns in one process. Each round reverses the order of the one before. The first round is discarded.
CPU time is that of all threads. A thread that waits in a loop counts as computing. So onnxruntime runs a third time
with idle threads that sleep. On a shared machine this is the fairer comparison, and its CPU time is the steadier
measure. The benchmark writes predict.json while it runs, then predict.md and predict.png.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import Results, machine, median, parser

from zoo.artifacts.predictor import BATCH_SIZE, load
from zoo.cli.predict import _classify, _workers
from zoo.data.batches import batches_by_size
from zoo.data.pictures import FilePictures
from zoo.data.prefetch import decode
from zoo.images import find_pictures

CLAIMED = 0.9
REST_S = 0.1  # onnxruntime's idle threads wait in a loop for a while


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and CPU seconds."""
    time.sleep(REST_S)
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def ceiling(model: Path, batches: list[np.ndarray], *, spinning: bool) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda: [session.run(["logits"], {"image": batch}) for batch in batches]


def run(model: Path, folder: Path, options: Any, results: Results) -> None:
    files = find_pictures(folder)[: options.limit]
    decoding, spent = time.perf_counter(), time.process_time()
    readable = [(index, found) for index, found in decode(FilePictures(files)) if isinstance(found, np.ndarray)]
    decoding, spent = time.perf_counter() - decoding, time.process_time() - spent
    batches = [batch for _, batch in batches_by_size(readable, BATCH_SIZE)]
    predictor = load(model, workers=_workers(len(files), "cpu"))
    sides = {
        "ceiling": ceiling(model, batches, spinning=True),
        "asleep": ceiling(model, batches, spinning=False),
        "zoo": lambda: list(_classify(predictor, files, 3)),
    }
    case = f"{predictor.card.backbone} at {predictor.card.preprocess.image_size} pixels, {folder.name}"
    results.add(case=case, side="decoding", pair=0, pictures=len(readable), seconds=decoding, cpu_seconds=spent)
    for pair in range(-1, options.pairs):
        for side in sorted(sides, reverse=pair % 2 == 1):
            seconds, cpu = clocked(sides[side])
            if pair >= 0:
                results.add(case=case, side=side, pair=pair, pictures=len(readable), seconds=seconds, cpu_seconds=cpu)


def of(records: list[dict[str, Any]], case: str, side: str) -> list[dict[str, Any]]:
    return [record for record in records if (record["case"], record["side"]) == (case, side)]


def ratios(records: list[dict[str, Any]], case: str, rival: str = "ceiling", what: str = "seconds") -> list[float]:
    sides = (of(records, case, side) for side in (rival, "zoo"))
    return [slow[what] / own[what] for slow, own in zip(*sides, strict=True)]


def shown(values: list[float]) -> str:
    return f"**{median(values):.2f}** ({min(values):.2f} to {max(values):.2f})"


def cases(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(record["case"] for record in records))


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| pictures | pairs | zoo / onnxruntime | zoo / onnxruntime whose idle threads sleep | the same, of CPU time "
        "| CPU ms per picture: onnxruntime, asleep, zoo | decoding alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in cases(records):
        own = of(records, case, "zoo")
        number = own[0]["pictures"]
        sides = ("ceiling", "asleep", "zoo", "decoding")
        cpu = [1e3 * median(r["cpu_seconds"] for r in of(records, case, side)) / number for side in sides]
        wall, quiet = ratios(records, case), ratios(records, case, "asleep")
        lines.append(
            f"| {case} ({number:,}) | {len(own)} | {shown(wall)} | {shown(quiet)} "
            f"| {shown(ratios(records, case, 'asleep', 'cpu_seconds'))} "
            f"| {cpu[0]:.2f}, {cpu[1]:.2f}, {cpu[2]:.2f} | {cpu[3]:.2f} |"
        )
    return "\n".join(lines) + f"\n\nClaimed: a ratio of at least {CLAIMED} with ResNet18 at 224 pixels.\n"


def plot(records: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.6 * len(cases(records))), layout="constrained")
    axes = figure.subplots()
    for place, case in enumerate(cases(records)):
        found = ratios(records, case)
        bar = axes.barh(place, median(found), 0.5, color="tab:blue")
        axes.bar_label(bar, fmt="%.2f", label_type="center", color="white")
        axes.plot(found, [place] * len(found), "|", color="black", markersize=14)
    axes.axvline(CLAIMED, color="tab:orange", linestyle="--")
    axes.set_title(f"dashed: {CLAIMED}, claimed with ResNet18 at 224 pixels", loc="right", fontsize="small")
    axes.set_yticks(range(len(cases(records))), cases(records))
    axes.invert_yaxis()
    axes.set(xlabel="zoo / onnxruntime, pictures per second", xlim=(0, None))
    return figure


def main() -> None:
    made = parser(__doc__, pairs=7)
    made.add_argument("--case", nargs=2, type=Path, action="append", required=True, metavar=("MODEL", "FOLDER"))
    made.add_argument("--limit", type=int, help="Use at most this many pictures of each folder.")
    options = made.parse_args()
    if options.quick:
        options.pairs, options.limit = 2, 64
    results = Results("predict", options, machine=machine("onnxruntime", "pillow"))
    for model, folder in options.case:
        run(model, folder, options, results)
    results.finish(table(results.records), plot(results.records))


if __name__ == "__main__":
    main()
