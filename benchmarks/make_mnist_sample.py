"""Draws the sample of MNIST that the package contains: 4,000 training and 1,000 test digits.

Usage: python benchmarks/make_mnist_sample.py FOLDER    where FOLDER/MNIST/raw holds the four official files

The sample is stratified (each class keeps its share of the official split) and seeded. The digits keep their order.
Sizes of 5,000 digits: npz 821 kB, PNG contact sheet 808 kB, lossless WebP 760 kB, lzma 694 kB. The sample is an npz,
because it can be read without extra code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from zoo.data import Dataset
from zoo.specs import DatasetRequest
from zoo_torchvision import datasets, sample

COUNTS = {"train": 4000, "test": 1000}
SEED = 0


def draw(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted indices of `count` pictures, shared among the classes by largest remainder."""
    shares = np.bincount(labels) * count / len(labels)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == k))[:n] for k, n in enumerate(counts)]
    return np.sort(np.concatenate(chosen))


def main(root: Path) -> None:
    spec = next(spec for spec in datasets.specs() if spec.name == "mnist")
    dataset: Dataset = spec.load(DatasetRequest(root=root, download=False))
    if dataset.notes:
        sys.exit(f"{root} does not hold the official files.")
    rng = np.random.Generator(np.random.PCG64(SEED))
    arrays: dict[str, np.ndarray] = {}
    for part, count in COUNTS.items():
        split = getattr(dataset, part)
        chosen = draw(split.labels, count, rng)
        arrays[f"{part}_images"] = split.pictures.array[chosen]
        arrays[f"{part}_labels"] = split.labels[chosen].astype(np.uint8)
    sample.FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(sample.FILE, allow_pickle=False, **arrays)
    print(f"{sample.FILE}: {sample.FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
