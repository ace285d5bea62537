"""What a training refuses a dataset for, once its pictures were read."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data.usable import ReadSplit, refusals


def split(total, unreadable, label=0):
    """Pictures of the classes a and b in turn, the first ones of class `label` unreadable."""
    labels = np.arange(total) % 2
    gone = np.flatnonzero(labels == label)[:unreadable]
    return ReadSplit(labels, np.delete(labels, gone), [f"'{index}' cannot be read." for index in gone])


def codes(train, val, share=0.01, *, cut=False):
    return [(name, error.code) for name, error in refusals({"train": train, "val": val}, "ab", share, cut=cut)]


@pytest.mark.parametrize("cut", [False, True])
def test_a_share_counts_in_the_split_that_the_dataset_has(cut):
    one_in_val = codes(split(180, 0), split(20, 1), cut=cut)
    assert one_in_val == ([] if cut else [("val", "too-many-unreadable")])
    three = codes(split(180, 1), split(20, 2), cut=cut)
    assert three == [("train" if cut else "val", "too-many-unreadable")]


def test_every_reason_is_told():
    assert codes(split(2, 1), split(2, 1, label=1)) == [
        ("train", "too-many-unreadable"),
        ("val", "too-many-unreadable"),
        ("train", "class-without-readable-pictures"),
        ("val", "class-without-readable-pictures"),
        ("train", "too-few-pictures"),
    ]


def test_a_class_that_is_missing_is_not_one_that_is_unreadable():
    labels = np.zeros(4, dtype=np.int64)
    assert codes(split(100, 1), ReadSplit(labels, labels, ())) == []
