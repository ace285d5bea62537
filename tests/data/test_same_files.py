"""One file is one picture: never on both sides of a split, never in two classes."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from zoo.data import dataset_at
from zoo.data.prepare import training_splits
from zoo.errors import DataError
from zoo.evaluation.pictures import choose
from zoo.recipes.place import PicturePlace
from zoo.specs import DatasetRequest

from ..refusals import refused


def tree(root, *names):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(root / name)
    return root


def table(path, rows):
    path.write_text("path,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
    return path


def load(path, **parts):
    return dataset_at(path, **parts).load(DatasetRequest(root=path))


@pytest.fixture
def noise(tmp_path):
    """A table of 40 pictures with random labels, each of them ten times."""
    names = [f"{index:02}.png" for index in range(40)]
    tree(tmp_path, *names)
    labels = np.random.default_rng(1).permutation(["a", "b"] * 20)
    return table(tmp_path / "list.csv", list(zip(names, labels, strict=True)) * 10)


def test_repeated_rows_are_not_on_both_sides_of_a_cut(noise):
    dataset = load(noise)
    train, val = (set(split.pictures.paths) for split in training_splits(dataset, seed=0))
    assert len(train) == 36 and len(val) == 4 and not train & val
    (note,) = dataset.notes
    assert note.startswith(f"360 of 400 pictures in '{noise}' are listed more than once") and "00.png" in note


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_within_a_class_are_one_picture(tmp_path, link):
    tree(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    link(tmp_path / "a" / "1.png", tmp_path / "a" / "3.png")
    dataset = load(tmp_path)
    assert [path.name for path in dataset.train.pictures.paths] == ["1.png", "2.png", "1.png"]
    assert f"1 of 4 pictures in '{tmp_path}' are listed more than once, for example '{tmp_path}/a/3.png'" in str(
        dataset.notes
    )


def test_another_spelling_of_a_path_is_the_same_file(tmp_path):
    tree(tmp_path, "sub/1.png", "2.png")
    path = table(tmp_path / "list.csv", [("sub/1.png", "a"), ("sub/../sub/1.png", "a"), ("2.png", "b")])
    assert len(load(path).train) == 2


def test_one_path_under_two_labels_is_refused(tmp_path):
    tree(tmp_path, "1.png", "2.png")
    path = table(tmp_path / "list.csv", [("1.png", "cat"), ("2.png", "dog"), ("1.png", "dog")])
    with refused("file-with-two-labels", f"'{tmp_path}/1.png' has two labels", "'cat'", "'dog'", kind=DataError):
        load(path)


def test_two_class_folders_that_are_one_are_refused(tmp_path):
    tree(tmp_path, "cat/1.png")
    (tmp_path / "dog").symlink_to(tmp_path / "cat", target_is_directory=True)
    with refused("file-with-two-labels", "cat/1.png", "dog/1.png", "'cat'", "'dog'", kind=DataError):
        load(tmp_path)


def test_another_label_in_another_split_is_refused(tmp_path):
    tree(tmp_path, "1.png", "2.png")
    rows = [("1.png", "cat"), ("2.png", "dog")]
    train = table(tmp_path / "train.csv", rows)
    val = table(tmp_path / "val.csv", [("1.png", "dog")])
    with refused("file-with-two-labels", "1.png", "'cat'", "'dog'", kind=DataError):
        load(train, val=val)


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_split_that_is_a_link_to_train_is_refused(tmp_path, name):
    tree(tmp_path, "train/a/1.png", "train/b/1.png")
    (tmp_path / name).symlink_to(tmp_path / "train", target_is_directory=True)
    with refused("split-in-train", f"All 2 pictures of {name}", "in train too", kind=DataError):
        load(tmp_path)


def test_a_part_of_train_in_val_is_said(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")
    os.link(tmp_path / "train/a/1.png", tmp_path / "val/a/1.png")
    assert load(tmp_path).notes == ("1 pictures are in both train and val, so the figures on val will be too good.",)


def test_a_test_split_that_is_the_validation_split_is_said(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")
    (tmp_path / "test").symlink_to(tmp_path / "val", target_is_directory=True)
    assert load(tmp_path).notes == ("2 pictures are in both val and test, so the test is not independent.",)


def test_evaluate_counts_each_file_once_and_refuses_two_labels(noise):
    found = choose(PicturePlace(dataset=str(noise)), ("a", "b"), None, own=False)
    assert len(found.split) == 40 and found.notes[0].startswith("360 of 400")
    noise.write_text(noise.read_text() + "00.png,a\n00.png,b\n")
    with refused("file-with-two-labels", "00.png", kind=DataError):
        choose(PicturePlace(dataset=str(noise)), ("a", "b"), None, own=False)
