"""Peak memory of `zoo predict` on large photos, and the cost of its limits on ordinary photos.

    python benchmarks/predict_memory.py MODEL.onnx PHOTOS [--pairs 9]

Memory: a separate process classifies 32 JPEGs of 20 megapixels. It is told that it has 1, 2 or 8 cores. The peak of its
resident set is measured. Claimed: below 1.5 GB on each.

Speed: the photos of PHOTOS, from files to rows, with the limits and without them. The two run in turns in one process.
Each round reverses the order of the one before. The first round is discarded. Without limits, only the number of
waiting pictures and running batches is limited, and a batch holds up to 16 megapixels. Claimed: at least 0.9 of the
speed, by the medians.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from measure import measured, median
from PIL import Image

from zoo.artifacts.predictor import load
from zoo.cli.predict import _classify, _workers
from zoo.images import find_pictures

CORES = (1, 2, 8)
PHOTOS = 32
SIZE = (5472, 3648)
CLAIMED_BYTES, CLAIMED_SPEED = 1.5e9, 0.9
NO_LIMIT = 2**60
COMMAND = """
import sys
from zoo.data import prefetch
cores = int(sys.argv.pop(1))
prefetch.count_cores = lambda: cores
from zoo.cli import main
main()
"""


def large_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 16, SIZE[0] // 16, 3), dtype=np.uint8))
    coarse.resize(SIZE, Image.Resampling.BICUBIC).save(folder / "00.jpg", quality=85)
    for index in range(1, PHOTOS):
        shutil.copy(folder / "00.jpg", folder / f"{index:02}.jpg")


def peaks(model: Path, folder: Path, scratch: Path) -> None:
    for cores in CORES:
        command = [sys.executable, "-c", COMMAND, cores, "predict", model, folder, "--json"]
        found = measured(command, scratch, scratch)
        peak = found["peak_mib"] * 2**20
        said = "within" if peak < CLAIMED_BYTES else "ABOVE"
        print(f"{cores} cores: {peak / 1e9:.2f} GB, {said} {CLAIMED_BYTES / 1e9} GB; {found['seconds']:.1f} s")


def speed(model: Path, folder: Path, pairs: int) -> None:
    files = find_pictures(folder)
    predictor = load(model, workers=_workers(len(files), "cpu"))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(-1, pairs):
        for limited in sorted(seconds, reverse=pair % 2 == 1):
            with ExitStack() as stack:
                if not limited:
                    stack.enter_context(mock.patch("zoo.data.prefetch.DECODE_BUDGET", NO_LIMIT))
                    stack.enter_context(mock.patch("zoo.data.batches.MAX_BATCH_PIXELS", 16 * 2**20))
                    stack.enter_context(mock.patch("zoo.artifacts.predictor.BATCHES_BUDGET", NO_LIMIT))
                started = time.perf_counter()
                rows = list(_classify(predictor, files, 3))
                if pair >= 0:
                    seconds[limited].append(time.perf_counter() - started)
            assert len(rows) == len(files)
    ratio = median(seconds[False]) / median(seconds[True])
    paired = [slow / own for slow, own in zip(seconds[False], seconds[True], strict=True)]
    print(
        f"{len(files)} photos, {pairs} pairs: {ratio:.2f} of the speed without limits (pairs from {min(paired):.2f} to "
        f"{max(paired):.2f}); claimed: at least {CLAIMED_SPEED}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photos")
        folder.mkdir()
        large_photos(folder)
        peaks(options.model.resolve(), folder, Path(scratch))
    speed(options.model, options.photos, options.pairs)


if __name__ == "__main__":
    main()
