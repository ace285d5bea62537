"""Finds the splits of a scan that a training would refuse, by the rule of the training itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.audit.scan import Scan
from zoo.data.prepare import training_splits
from zoo.data.types import Dataset, Split
from zoo.data.usable import ReadSplit, refusals
from zoo.errors import DataError


def refused(found: Scan, classes: Sequence[str], max_unreadable: float, seed: int) -> list[tuple[str, DataError]]:
    """The splits that a training with this seed refuses, each with the error; empty if it accepts all."""
    own = found.splits
    dataset = Dataset(classes=tuple(classes), train=own["train"], val=own.get("val"), test=own.get("test"))
    try:
        train, val = training_splits(dataset, seed)
    except DataError as error:
        return [("train", error)]
    reasons = {found.name(number): reason for number, reason in found.unreadable.items()}
    splits = {"train": train, "val": val, **({"test": own["test"]} if "test" in own else {})}
    read = {name: _read(split, reasons) for name, split in splits.items()}
    return list(refusals(read, classes, max_unreadable, cut="val" not in own))


def _read(split: Split, reasons: dict[str, str]) -> ReadSplit:
    names = [split.pictures.name(index) for index in range(len(split))]
    readable = np.array([name not in reasons for name in names], dtype=np.bool_)
    return ReadSplit(split.labels, split.labels[readable], [reasons[name] for name in names if name in reasons])
