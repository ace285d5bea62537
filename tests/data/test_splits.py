from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zoo.data import ArrayPictures, FilePictures, Split, split_validation
from zoo.data.splits import limited


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


@pytest.mark.parametrize("count", [3, 10, 37, 99, 100, 500])
def test_a_part_has_each_class_in_its_share(count):
    labels = np.array([0] * 70 + [1] * 28 + [3] * 2)
    split = Split(ArrayPictures(np.zeros((100, 1, 1, 3), np.uint8)), labels)
    part = limited(split, 4, count, seed=1)
    sizes = np.bincount(part.labels, minlength=4)
    assert len(part) == sizes.sum() == min(count, 100)
    assert sizes[2] == 0
    assert np.all(sizes[[0, 1, 3]] >= 1)
    assert np.all(np.abs(sizes - np.array([70, 28, 0, 2]) * min(1, count / 100)) < 1.2)


def test_a_part_is_of_the_seed_and_in_order():
    labels = np.arange(100) % 2
    pictures = ArrayPictures(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1).repeat(3, 3))
    parts = [limited(Split(pictures, labels), 2, 10, seed) for seed in (1, 1, 2)]
    chosen = [[int(part.pictures[index][0, 0, 0]) for index in range(10)] for part in parts]
    assert chosen[0] == chosen[1] != chosen[2]
    assert chosen[0] == sorted(set(chosen[0]))
    assert [label % 2 for label in chosen[0]] == parts[0].labels.tolist()
