"""Splits under the names that are in use are taken as splits, and what only looks like them never becomes classes."""

from __future__ import annotations

import pytest
from PIL import Image

from zoo.data import dataset_at
from zoo.errors import DataError
from zoo.evaluation.pictures import choose
from zoo.recipes.place import PicturePlace
from zoo.specs import DatasetRequest

from ..refusals import refused


def tree(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2)).save(root / name)
    return root


def split(root, train, test, *, inner=""):
    return tree(root, *(f"{part}/{inner}{label}/1.png" for part in (train, test) for label in ("a", "b")))


def load(path):
    return dataset_at(path).load(DatasetRequest(root=path))


@pytest.mark.parametrize(
    ("train", "other", "kind"),
    [
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("train_set", "val_set", "val"),
        ("Train Data", "Validation-Data", "val"),
        ("seg_train", "seg_test", "test"),
        ("seg_train", "seg_val", "val"),
        ("TRAIN", "dev", "val"),
        ("train", "test1", "test"),
        ("trainset", "valid", "val"),
    ],
)
def test_known_spellings_are_splits_and_said(tmp_path, train, other, kind):
    split(tmp_path, train, other)
    dataset = load(tmp_path)
    assert dataset.classes == ("a", "b") and len(dataset.train) == 2
    assert len(getattr(dataset, kind)) == 2
    (note,) = dataset.notes
    assert note.startswith(f"Taken in '{tmp_path}': ")
    assert f"'{train if other == 'valid' else other}' as " in note


def test_usual_names_need_no_note(tmp_path):
    split(tmp_path, "Train", "valid")
    assert load(tmp_path).notes == ()


def test_nested_splits(tmp_path):
    """The layout of Intel's scenes: unlabelled pictures lie in a third folder."""
    tree(tmp_path, *(f"seg_{part}/seg_{part}/{label}/1.png" for part in ("train", "test") for label in ("sea", "ice")))
    tree(tmp_path, "seg_pred/seg_pred/1.png")
    dataset = load(tmp_path)
    assert dataset.classes == ("ice", "sea") and len(dataset.test) == 2
    assert dataset.notes == (
        f"Taken in '{tmp_path}': 'seg_train/seg_train' as train, 'seg_test/seg_test' as test.",
        f"The folders 'seg_pred' in '{tmp_path}' are not used.",
    )


def test_unlabelled_pictures_beside_train_are_not_used_and_said(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "test1/1.png")
    dataset = load(tmp_path)
    assert dataset.test is None and dataset.notes == (f"The folders 'test1' in '{tmp_path}' are not used.",)


def test_flat_pictures_are_refused_with_the_ways_out(tmp_path):
    tree(tmp_path, "train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg")
    with refused(
        "folder-without-train", f"'{tmp_path / 'train'}' holds 2 pictures", "train/cat", "train/cat.0.jpg cat"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("fold1", "fold2"),
        ("fold_1", "fold_2", "fold_3"),
        ("Train-images", "Test-images"),
        ("train2017", "val2017"),
        ("data_train", "data_test"),
        ("split 1", "split 2"),
        ("train_a", "test_a"),
        ("train_a", "test_a", "misc"),
        ("training", "holdout"),
        ("images_train", "images_val"),
        ("trainA", "trainB"),
        ("Train_Images_224", "Test_Images_224"),
        ("fold1of2", "fold2of2"),
    ],
)
def test_what_only_looks_like_splits_is_refused_with_the_names(tmp_path, names):
    tree(tmp_path, *(f"{name}/1.png" for name in names))
    alike = [f"'{name}'" for name in names if name != "misc"]
    with refused("folders-like-splits", *alike, kind=DataError) as caught:
        load(tmp_path)
    assert "misc" not in str(caught.value)


def test_one_that_holds_class_folders_is_refused_beside_anything(tmp_path):
    tree(tmp_path, "train_a/cat/1.png", "train_a/dog/1.png", "extra/1.png")
    with refused("folders-like-splits", "'train_a'", kind=DataError):
        load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("bus", "train"),
        ("freight train", "passenger train"),
        ("train station", "airport"),
        ("test tube", "flask"),
        ("training shoes", "boots"),
        ("validator", "tester"),
        ("bus", "train_2"),
        ("dev", "ops"),
        ("a", "b", "v"),
        ("old", "new"),
        ("trains", "planes"),
        ("1", "2"),
        ("tests_positive", "tests_negative"),
    ],
)
def test_classes_are_classes(tmp_path, names):
    tree(tmp_path, *(f"{name}/1.png" for name in names))
    assert set(load(tmp_path).classes) == set(names)


def test_groups_that_hold_the_same_folders_are_said(tmp_path):
    tree(tmp_path, *(f"{site}/{label}/1.png" for site in ("north", "south") for label in ("cat", "dog")))
    dataset = load(tmp_path)
    assert dataset.classes == ("north", "south")
    assert dataset.notes == (
        f"The class folders in '{tmp_path}' hold the same folders, 'cat', 'dog'. If these are the classes, create one "
        "folder for each of them instead.",
    )


def test_two_folders_of_one_split_are_refused(tmp_path):
    split(tmp_path, "train", "test")
    split(tmp_path, "Training", "testing")
    with refused("split-twice", "'Training'", "'train'", kind=DataError):
        load(tmp_path)


@pytest.mark.parametrize(("wanted", "name"), [(None, "test"), ("train", "train")])
def test_evaluate_knows_the_same_names(tmp_path, wanted, name):
    split(tmp_path, "Training", "Testing")
    tree(tmp_path, "Training/a/2.png", "Training/b/2.png")
    found = choose(PicturePlace(dataset=str(tmp_path)), ("a", "b"), wanted, own=False)
    assert found.split_name == name and len(found.split) == 2
