"""Pictures per second of `zoo train --strategy full`, compared with a bare loop and with timm's and fastai's loops.

    python benchmarks/throughput.py --photos FOLDER [--venv FOLDER] [--data-root FOLDER]

(a) The ceiling is the same training steps over tensors in memory in plain PyTorch (bare_loop.py). Precision, layout,
augmentation, optimiser and allocator are the same. Digits have 28 pixels, photos 224. At 28 pixels zoo skips
convolution taps that see only padding (`zoo.models.conv_trim`). So the bare loop is measured with and without them,
and the faster one counts.
(b) The loops of timm and fastai (timm_loop.py, fastai_loop.py) have the same photos, network, size and batch size.
They run with their defaults, and with bf16 and channels last.

Claimed: at least 0.95 of the ceiling; at least 2.5 times timm's and fastai's defaults; not slower than they are with
bf16 and channels last.

Every measurement is a separate process. zoo runs again before each of the others, so a ratio compares two neighbours.
Only the training of the second and later epochs counts, data included, without validation and checkpoints.

FOLDER holds `train` and `val` with one folder per class. The digits are those of `zoo train resnet18 mnist`: the
complete MNIST with an internet connection or with --data-root, otherwise the bundled sample. timm and fastai come from
PyPI, into their own virtual environment, which sees the torch of this one:

    python -m venv VENV
    echo SITE_PACKAGES_OF_THIS_PYTHON > VENV/lib/python3.X/site-packages/outer.pth
    VENV/bin/python -m pip install timm==1.0.31 fastai==2.8.12

The benchmark writes throughput.json while it runs, then throughput.md and throughput.png.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import HERE, ProcessError, Results, machine, measured, median, parser, rival_python, zoo_train

RIVALS = ("timm==1.0.31", "fastai==2.8.12")
DEFAULT, FAST = "defaults", "bf16, channels last"
# The claimed minimum of the ratio of zoo to a side.
WANTED = {"bare loop": 0.95, "bare loop, trimmed": 0.95, DEFAULT: 2.5, FAST: 1.0}


def cases(options: Any, folder: Path) -> dict[str, dict[str, Any]]:
    """For each case, the arguments of `zoo train` and the command of every other side."""
    here, python = str(HERE), sys.executable
    epochs = ["--epochs", str(options.epochs)]
    small = ["--image-size", "28", "--batch-size", "64", *epochs]
    large = ["--image-size", "64" if options.quick else "224", "--batch-size", "32", *epochs]
    root = ["--data-root", str(options.data_root.absolute())] if options.data_root else []
    photos = str(options.photos.absolute())
    digits_loop = [python, f"{here}/bare_loop.py", "digits", *root, "--policy", "digits", *small]
    photos_loop = [python, f"{here}/bare_loop.py", "photos", "--photos", photos, "--policy", "photos", *large]
    made: dict[str, dict[str, Any]] = {
        "digits": {
            "zoo": ["mnist", *root, "--augment", "digits", *small],
            "sides": {"bare loop": digits_loop, "bare loop, trimmed": [*digits_loop, "--trim"]},
        },
        "photos": {"zoo": [photos, "--augment", "photos", *large], "sides": {"bare loop": photos_loop}},
    }
    if options.rival_pairs:
        rival = str(rival_python(options.venv.absolute() if options.venv else folder / "venv", *RIVALS))
        for name in ("timm", "fastai"):
            for how in (DEFAULT, FAST):
                command = [rival, f"{here}/{name}_loop.py", photos, *large, *(["--fast"] if how == FAST else [])]
                made["photos"]["sides"][f"{name}, {how}"] = command
    for one in made.values():
        one["zoo"] = ["resnet18", *one["zoo"], "--strategy", "full", "--weights", "none"]
    return made


def of_zoo(arguments: list[str], folder: Path) -> dict[str, Any]:
    """Pictures per second of later epochs. A row's `seconds` cover its training; the run's also what is between."""
    found = zoo_train(folder, folder, *arguments)
    rows, info = found["epochs"], found["info"]
    between = info["training_seconds"] - sum(float(row["seconds"]) for row in rows)
    return {
        "images_per_second": median(float(row["images_per_second"]) for row in rows[1:]),
        "first_epoch": float(rows[0]["images_per_second"]),
        "seconds_beside_training_per_epoch": round(between / len(rows), 2),
        "precision": info["plan"]["precision"],
        "threads": info["machine"]["threads"],
        "mebibytes": round(found["peak_mib"]),
    }


def of_side(side: str, command: list[str], folder: Path, precision: str) -> dict[str, Any]:
    arguments = ["--precision", precision] if side.startswith("bare") else []
    found = measured([*command, *arguments], folder, folder)
    printed = json.loads(found["stdout"].splitlines()[-1])
    rates = [printed["pictures"] / seconds for seconds in printed["seconds"]]
    return {
        "images_per_second": round(median(rates[1:]), 1),
        "first_epoch": round(rates[0], 1),
        "threads": printed["threads"],
        "mebibytes": round(found["peak_mib"]),
    }


def run(options: Any, results: Results, folder: Path) -> None:
    todo = cases(options, folder)
    for pair in range(max(options.pairs, options.rival_pairs)):
        for case, one in todo.items():
            for side, command in one["sides"].items():
                if pair >= (options.pairs if side.startswith("bare") else options.rival_pairs):
                    continue
                zoo = of_zoo(one["zoo"], folder)
                try:
                    found = of_side(side, command, folder, zoo["precision"])
                except ProcessError as error:
                    results.add(case=case, side=side, pair=pair, error=str(error))
                    continue
                ratio = round(zoo["images_per_second"] / found["images_per_second"], 3)
                results.add(case=case, side=side, pair=pair, ratio=ratio, zoo=zoo, other=found)


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per case and side, in the order of the first pair."""
    rows = []
    for case, side in dict.fromkeys((record["case"], record["side"]) for record in records):
        own = [r for r in records if (r["case"], r["side"]) == (case, side) and "ratio" in r]
        if own:
            both = {who: median(r[who]["images_per_second"] for r in own) for who in ("zoo", "other")}
            ratios = [r["ratio"] for r in own]
            wanted = WANTED[side.split(", ", 1)[1] if side.startswith(("timm", "fastai")) else side]
            rows.append({"case": case, "side": side, **both, "ratios": ratios, "wanted": wanted})
    return rows


def table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| pictures | against | zoo, pictures/s | other, pictures/s | zoo / other | smallest, largest | n | claimed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in summary(records):
        ratios = row["ratios"]
        lines.append(
            f"| {row['case']} | {row['side']} | {row['zoo']:,.0f} | {row['other']:,.0f} | **{median(ratios):.2f}** "
            f"| {min(ratios):.2f}, {max(ratios):.2f} | {len(ratios)} | {row['wanted']:.2f} |"
        )
    failed = {f"{r['case']}, {r['side']}: {r['error'].splitlines()[-1]}" for r in records if "error" in r}
    return "\n".join([*lines, *(f"\nNot measured: {sentence}" for sentence in sorted(failed))]) + "\n"


def plot(records: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    rows = summary(records)
    names = {"digits": "digits, 28 pixels", "photos": "photos, 224 pixels"}
    shown = {case: [row for row in rows if row["case"] == case] for case in names}
    shown = {case: own for case, own in shown.items() if own}
    figure = Figure(figsize=(8, 1.6 + 0.45 * sum(len(own) + 1 for own in shown.values())), layout="constrained")
    heights = [len(own) + 1 for own in shown.values()]
    panels = figure.subplots(len(shown), 1, height_ratios=heights, squeeze=False)
    for axes, (case, own) in zip(panels[:, 0], shown.items(), strict=True):
        labels = ["zoo train", *(row["side"] for row in own)]
        values = [median(row["zoo"] for row in own), *(row["other"] for row in own)]
        axes.barh(labels, values, color=["tab:blue"] + ["tab:grey"] * len(own))
        for at, value in enumerate(values):
            ratio = "" if at == 0 else f", zoo / this: {median(own[at - 1]['ratios']):.2f}"
            axes.text(value, at, f" {value:,.0f}{ratio}", va="center")
        axes.set_title(f"ResNet18 on {names[case]}", loc="left")
        axes.set_xlabel("pictures per second, epochs from the second on")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.4 * max(values))
    return figure


def main() -> None:
    made = parser(__doc__, pairs=3)
    made.add_argument(
        "--photos", type=Path, required=True, help="Folder with train and val, a folder per class in each."
    )
    made.add_argument("--data-root", type=Path, help="Folder with MNIST/raw, for the complete MNIST.")
    made.add_argument("--venv", type=Path, help="Environment of timm and fastai; created if it is missing.")
    made.add_argument("--rival-pairs", type=int, default=2, help="Repetitions of (b). 0 measures only (a). Default: 2.")
    made.add_argument("--epochs", type=int, default=3, help="Epochs of each process. Default: 3.")
    options = made.parse_args()
    if options.quick:
        options.pairs, options.rival_pairs, options.epochs = 1, min(1, options.rival_pairs), 2
    about = machine("lightning-fabric", "numpy", "pillow")
    results = Results("throughput", options, machine=about, rivals=RIVALS, epochs=options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        run(options, results, Path(folder))
    results.finish(table(results.records), plot(results.records))


if __name__ == "__main__":
    main()
