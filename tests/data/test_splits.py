from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.data import ArrayPictures, FilePictures, Split, split_validation


def numbered(labels):
    """Each picture's only pixel is its index."""
    labels = np.asarray(labels, np.int64)
    return Split(ArrayPictures(np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1)), labels)


def indices(split):
    return split.pictures.array.ravel().tolist()


def test_stratified_disjoint_and_complete():
    split = numbered([0] * 100 + [1] * 40 + [2] * 15)
    train, val = split_validation(split, 3, seed=1)
    assert np.bincount(val.labels).tolist() == [10, 4, 2]
    assert sorted(indices(train) + indices(val)) == list(range(155))
    for part in (train, val):
        assert indices(part) == sorted(indices(part))
        np.testing.assert_array_equal(part.labels, split.labels[indices(part)])


def test_the_same_pictures_everywhere():
    split = numbered([0, 1] * 20)
    assert indices(split_validation(split, 2, 0.2, seed=3)[1]) == [5, 15, 16, 24, 25, 32, 36, 39]
    assert indices(split_validation(split, 2, 0.2, seed=4)[1]) != indices(split_validation(split, 2, 0.2, 3)[1])


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99])
def test_small_classes_keep_and_give(fraction):
    split = numbered([0] + [1] * 2 + [2] * 3 + [3] * 30)
    train, val = split_validation(split, 5, fraction)
    kept, given = np.bincount(train.labels, minlength=5), np.bincount(val.labels, minlength=5)
    assert kept[0] == 1 and given[0] == 0 and kept[4] == given[4] == 0
    assert (kept[1:4] >= 1).all() and (given[1:4] >= 1).all()


def test_files():
    split = Split(FilePictures([Path(f"{i}.png") for i in range(20)]), np.arange(20) % 2)
    train, val = split_validation(split, 2)
    assert len(train) == 18 and len(val) == 2
    assert [int(path.stem) % 2 for path in val.pictures.paths] == val.labels.tolist()


def test_nothing_can_be_set_aside():
    train, val = split_validation(numbered([0, 1]), 2)
    assert len(train) == 2 and len(val) == 0
