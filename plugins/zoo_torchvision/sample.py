"""Five thousand digits of MNIST in the package, for use without internet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data import ArrayPictures, Dataset, Split
from zoo_torchvision.names import DIGITS

FILE = Path(__file__).with_name("data") / "mnist_sample.npz"


def load(reason: str) -> Dataset:
    """4,000 training and 1,000 test digits from the official splits; see `benchmarks/make_mnist_sample.py`.

    Args:
        reason: one sentence for the note that says why the full dataset is not used.
    """
    with np.load(FILE, allow_pickle=False) as arrays:
        train, test = (
            Split(ArrayPictures(arrays[f"{part}_images"]), arrays[f"{part}_labels"].astype(np.int64))
            for part in ("train", "test")
        )
    return Dataset(
        classes=DIGITS,
        train=train,
        test=test,
        source="the sample of MNIST bundled with visionzoo",
        notes=(
            f"{reason} The bundled sample is used instead: {len(train):,} of 60,000 training digits and "
            f"{len(test):,} of 10,000 test digits.",
        ),
    )
