"""Trains every strategy and exports every format, and writes down what came of it, to the bit.

    python tests/golden/golden.py make FOLDER          # on the code before a change
    python tests/golden/golden.py compare FOLDER NEW   # on the code after it: makes NEW, and compares

Of each run: metrics.csv without its times, the SHA-256 of the weights, the figures of the final split. Of each file:
the SHA-256 of the logits of eight pictures. `compare` also loads, verifies and asks the files in FOLDER, which the old
code wrote. All on one thread: sums of floats depend on their order.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = [(24, 24), (24, 30), (36, 24), (50, 40)]
COMMON = ["--resize", "crop", "--image-size", "32", "--batch-size", "16", "--seed", "3", "--loggers", "csv"]
RUNS = {
    "full": ["resnet18", "--weights", "none", "--strategy", "full", "--epochs", "2"],
    "full-augmented": [
        *("resnet18", "--weights", "none", "--strategy", "full", "--epochs", "2", "--augment", "strong"),
        *("--mixup", "0.2", "--ema", "0.9", "--schedule", "cosine"),
    ],
    "head": ["efficientnet_lite0", "--strategy", "head", "--epochs", "3", "--augment", "none"],
    "head-views": [
        *("resnet18", "--weights", "none", "--strategy", "head", "--epochs", "2"),
        *("--augment", "digits", "--views", "2"),
    ],
    "finetune": ["efficientnet_lite0", "--strategy", "finetune", "--epochs", "1"],
    "gradual": ["resnet18", "--weights", "none", "--strategy", "gradual", "--epochs", "6", "--augment", "none"],
    "frozen-until": ["resnet18", "--weights", "none", "--freeze-until", "layer4", "--epochs", "2", "--augment", "none"],
}
EXPORTS = {
    "full": [["--onnx", "--torchscript", "--pt2"], ["--onnx", "--input", "tensor"], ["--onnx", "--precision", "fp16"]],
    "head": [["--onnx", "--torchscript"]],
    "gradual": [["--onnx", "--precision", "int8", "--accuracy-budget", "100"]],
}
TIMES = ("seconds", "images_per_second")


def pictures(folder: Path) -> Path:
    """Three classes of bars on noise, of several sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 8)):
        for label, name in enumerate(("bar", "line", "slope")):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                height, width = SIZES[index % len(SIZES)]
                picture = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
                rows, columns = np.indices((height, width))
                ways = (columns - width / 2, rows - height / 2, rows - columns)
                picture[np.abs(ways[label]) < 3] = rng.integers(180, 256, 3)
                Image.fromarray(picture).save(folder / split / name / f"{index:03}.png")
    return folder


def zoo(*arguments: object, cache: Path) -> None:
    """One command in a process of its own, on one thread."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **single, "XDG_CACHE_HOME": str(cache)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"zoo {' '.join(map(str, arguments))} failed:\n{done.stderr}")


def run_facts(run: Path) -> dict[str, object]:
    """What a training came to."""
    from safetensors.numpy import load_file

    with (run / "metrics.csv").open() as file:
        rows = [
            {key: value for key, value in row.items() if not any(t in key for t in TIMES)}
            for row in csv.DictReader(file)
        ]
    weights = hashlib.sha256()
    (path,) = run.glob("**/best.safetensors")
    for name, tensor in sorted(load_file(path).items()):
        weights.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    figures = json.loads((run / "run.json").read_text())["metrics"]
    return {"rows": rows, "weights": weights.hexdigest(), "figures": figures}


def answers(path: Path, data: Path) -> str:
    """The SHA-256 of a file's logits of eight pictures, one at a time."""
    from zoo import load

    files = sorted((data / "test").rglob("*.png"))[::3]
    logits = np.concatenate([load(path).logits([file]) for file in files])
    return hashlib.sha256(np.ascontiguousarray(logits, dtype=np.float32).tobytes()).hexdigest()


def make(folder: Path) -> dict[str, dict[str, object]]:
    """Trains and exports into an empty folder; the facts, also as golden.json."""
    data, cache = pictures(folder / "data"), folder / "cache"
    found: dict[str, dict[str, object]] = {}
    for name, (backbone, *options) in RUNS.items():
        run = folder / name
        zoo("train", backbone, data, "--output", run, *COMMON, *options, cache=cache)
        for formats in EXPORTS.get(name, []):
            zoo("export", run, *formats, cache=cache)
        found[name] = run_facts(run)
        print(name, flush=True)
    found["files"] = {str(p.relative_to(folder)): answers(p, data) for p in exported(folder)}
    (folder / "golden.json").write_text(json.dumps(found, indent=2))
    return found


def exported(folder: Path) -> list[Path]:
    """All artifacts below a folder."""
    return sorted(path for path in folder.glob("*/export/*") if path.suffix in (".onnx", ".pt", ".pt2"))


def compare(old: Path, new: Path) -> list[str]:
    """What differs: the names of runs and files."""
    before, after = json.loads((old / "golden.json").read_text()), make(new)
    different = [name for name in RUNS if before[name] != after[name]]
    files_before, files_after = before["files"], after["files"]
    different += [name for name in files_before if files_before[name] != files_after.get(name)]
    for path in exported(old):
        zoo("verify", path, cache=new / "cache")
        name = str(path.relative_to(old))
        if answers(path, old / "data") != files_before[name]:
            different.append(f"{name}, as it was written before")
    return different


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    match sys.argv[1:]:
        case ["make", folder]:
            make(Path(folder))
        case ["compare", old, new]:
            different = compare(Path(old), Path(new))
            print(f"Different: {', '.join(different)}" if different else "Nothing differs.")
            sys.exit(bool(different))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
