"""int8 against fp32: the speed of ONNX files of one ResNet18 at 224 pixels in onnxruntime, and the accuracy of int8.

    python benchmarks/int8.py [--mnist ROOT] [--threads N]

(a) Speed. Five files are compared: `zoo export --onnx` in int8 and fp32, each with pixels and with a tensor as input,
and a plain `torch.onnx.export` of the same weights with a tensor as input. All sessions are in this process. A round
runs each once and begins with another one each time. A ratio is taken within one round. Idle threads do not wait in
loops, which would take a core from the next session. The weights are random: speed does not depend on them.

(b) Accuracy, with --mnist: `zoo train resnet18 mnist` at 28 pixels, and both files on all 10,000 test digits. ROOT
holds `MNIST/raw`, as torchvision stores it.

Claimed: int8 is at least 2.2 times as fast as fp32 on a processor with VNNI, and loses at most one point on MNIST.
Without VNNI, x86 processors need three instructions instead of one to add products of 8-bit integers. Then the ratio
is smaller. The line below the table says what the processor has.

The benchmark writes int8.json while it runs, then int8.md and int8.png.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Results, machine, measured, median, parser

from zoo.data.batches import batches_by_size
from zoo.exporting.int8_calibration import calibration
from zoo.exporting.source import RunSource
from zoo.models.classifier import Classifier
from zoo.parity.references import reference_of
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.specs import Calibration, LoadOptions, PreprocessSpec, Runtime, WriteOptions

SIZE = 224
PLAIN = "torch.onnx.export, tensor"
SIDES = ("zoo int8, tensor", "zoo int8, pixels", "zoo fp32, tensor", "zoo fp32, pixels", PLAIN)
RATIOS = (
    ("zoo int8, tensor", "zoo fp32, tensor"),
    ("zoo int8, tensor", PLAIN),
    ("zoo int8, pixels", "zoo fp32, pixels"),
    ("zoo int8, pixels", PLAIN),
    ("zoo fp32, tensor", PLAIN),
)
INTEGERS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
ONNX = registry().exporter("onnx").spec


def integers() -> str:
    """The processor's instructions for products of 8-bit integers, by their names in Linux."""
    try:
        flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    except OSError:
        return "unknown"
    found = [name for name in INTEGERS if name in flags]
    vnni = any(name.endswith("vnni") for name in found)
    return f"{' '.join(found)} ({'with' if vnni else 'no'} VNNI)"


def files(folder: Path) -> dict[str, Path]:
    """Writes one ResNet18 for every side; returns the paths."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    classifier = Classifier(network, [str(i) for i in range(1000)], PreprocessSpec(image_size=SIZE)).eval()
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(8)]
    calibrated = Calibration(pictures=shown, method="minmax", budget=0, loss=lambda _: 0.0)
    made = {side: folder / f"{at}.onnx" for at, side in enumerate(SIDES)}
    for side, path in made.items():
        if side == PLAIN:
            example = (torch.zeros(2, 3, SIZE, SIZE),)
            names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
            free = ({0: "batch"},)
            torch.onnx.export(
                network, example, path, dynamo=True, dynamic_shapes=free, external_data=False, verbose=False, **names
            )
            continue
        takes: Any = side.rsplit(" ", 1)[1]
        options = WriteOptions(input=takes)
        if "int8" in side:
            options = WriteOptions(input=takes, precision="int8", calibration=calibrated)
        ONNX.write(classifier, path, options)
    return made


def speed(options: Any, results: Results, folder: Path) -> None:
    runs = {
        side: ONNX.load(path, LoadOptions(threads=options.threads, spinning=False))
        for side, path in files(folder).items()
    }
    rng = np.random.default_rng(1)
    for batch in options.batches:
        pixels = rng.integers(0, 256, (batch, SIZE, SIZE, 3), dtype=np.uint8)
        tensor = rng.standard_normal((batch, 3, SIZE, SIZE), dtype=np.float32)
        images = {side: pixels if side.endswith("pixels") else tensor for side in runs}
        for turn in range(-1, options.pairs):
            found = {}
            first = turn % len(SIDES)  # the previous session leaves heat, caches and sleeping threads behind
            for side in (*SIDES[first:], *SIDES[:first]):
                started = time.perf_counter()
                runs[side](images[side])
                found[side] = round(1000 * (time.perf_counter() - started) / batch, 3)
            if turn >= 0:  # the first round warms up
                results.add(batch=batch, round=turn, ms_per_picture=found)


def accuracy(options: Any, results: Results, folder: Path) -> None:
    place = folder / "run"
    arguments = ["--epochs", str(options.epochs), "--data-root", options.mnist.absolute(), "--output", place]
    measured([sys.executable, "-m", "zoo", "train", "resnet18", "mnist", *arguments], folder, folder)
    compare(Run(place), results, folder)


def compare(run: Run, results: Results, folder: Path) -> None:
    reference, test = reference_of(run), run.dataset().test
    classifier = reference.classifier
    assert test is not None
    right = {}
    calibrated = calibration(RunSource(run), classifier)
    for name, how in (
        ("fp32", WriteOptions()),
        ("int8", WriteOptions(precision="int8", calibration=calibrated)),
    ):
        path = folder / f"{name}.onnx"
        facts = ONNX.write(classifier, path, how).facts
        right[name] = correct(ONNX.load(path, LoadOptions(spinning=False)), test)
    results.add(mnist={name: int(rows.sum()) for name, rows in right.items()}, pictures=len(test), facts=dict(facts))


def correct(run: Runtime, split: Any) -> np.ndarray:
    """Whether each picture gets its class, bool `[N]`."""
    right = np.zeros(len(split), bool)
    for rows, batch in batches_by_size(((i, split.pictures[i]) for i in range(len(split))), 32):
        right[rows] = run(batch).argmax(axis=1) == split.labels[rows]
    return right


def table(records: list[dict[str, Any]]) -> str:
    lines = ["| ResNet18 at 224, ms a picture | " + " | ".join(SIDES) + " |", "|---" * (1 + len(SIDES)) + "|"]
    ratios = ["| how many times as fast | batch | median | smallest, largest | n |", "|---|---|---|---|---|"]
    for batch in dict.fromkeys(r["batch"] for r in records if "batch" in r):
        own = [r["ms_per_picture"] for r in records if r.get("batch") == batch]
        medians = (f"{median(row[side] for row in own):.1f}" for side in SIDES)
        lines.append(f"| batch {batch} | " + " | ".join(medians) + " |")
        for one, other in RATIOS:
            every = [row[other] / row[one] for row in own]
            spread = f"{min(every):.2f}, {max(every):.2f}"
            ratios.append(f"| {one}, against {other} | {batch} | **{median(every):.2f}** | {spread} | {len(every)} |")
    digits = [
        f"\nMNIST, {r['pictures']:,} test digits: fp32 {r['mnist']['fp32'] / r['pictures']:.2%}, "
        f"int8 {r['mnist']['int8'] / r['pictures']:.2%}, {len(r['facts']['float_layers'])} of {r['facts']['layers']} "
        "layers in float."
        for r in records
        if "mnist" in r
    ]
    return "\n".join([*lines, "", *ratios, *digits]) + "\n"


def plot(records: list[dict[str, Any]]) -> Any:
    from matplotlib.figure import Figure

    batches = list(dict.fromkeys(r["batch"] for r in records if "batch" in r))
    figure = Figure(figsize=(8, 0.8 + 2 * len(batches)), layout="constrained")
    for axes, batch in zip(figure.subplots(len(batches), 1, squeeze=False)[:, 0], batches, strict=True):
        own = [r["ms_per_picture"] for r in records if r.get("batch") == batch]
        values = [median(row[side] for row in own) for side in SIDES]
        axes.barh(SIDES, values, color=["tab:blue" if "int8" in side else "tab:grey" for side in SIDES])
        for at, value in enumerate(values):
            axes.text(value, at, f" {value:.1f}", va="center")
        axes.set_title(f"ResNet18 at {SIZE} pixels, batch {batch}", loc="left")
        axes.set_xlabel("milliseconds a picture")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.2 * max(values))
    return figure


def main() -> None:
    made = parser(__doc__, pairs=15)
    made.add_argument("--mnist", type=Path, help="Folder with MNIST/raw, for (b).")
    made.add_argument("--epochs", type=int, default=2, help="Epochs of the training of (b). Default: 2.")
    made.add_argument("--threads", type=int, help="Threads of each session. Default: onnxruntime's.")
    made.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    options = made.parse_args()
    if options.quick:
        options.pairs, options.epochs = 2, 1
    about = machine("onnx", "onnxruntime") | {"integers": integers(), "threads": str(options.threads or "default")}
    results = Results("int8", options, machine=about)
    with tempfile.TemporaryDirectory() as folder:
        speed(options, results, Path(folder))
        if options.mnist:
            accuracy(options, results, Path(folder))
    results.finish(table(results.records), plot(results.records))


if __name__ == "__main__":
    main()
