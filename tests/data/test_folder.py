from __future__ import annotations

import pytest
from PIL import Image

from zoo.data import dataset_at, looks_like_path
from zoo.errors import DataError, UsageError
from zoo.specs import DatasetRequest

from ..refusals import refused


def picture(path, colour=(9, 9, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), colour).save(path)


def tree(root, *names):
    for name in names:
        picture(root / name)
    return root


def load(path, **parts):
    return dataset_at(path, **parts).load(DatasetRequest(root=path))


def files(split, root):
    return [path.relative_to(root).as_posix() for path in split.pictures.paths]


def test_bare_folder(tmp_path):
    tree(tmp_path, "dog/b.png", "cat/a.jpg", "dog/deep/er/c.GIF")
    dataset = load(tmp_path)
    assert dataset.classes == ("cat", "dog") and dataset.val is None and dataset.test is None
    assert files(dataset.train, tmp_path) == ["cat/a.jpg", "dog/b.png", "dog/deep/er/c.GIF"]
    assert dataset.train.labels.tolist() == [0, 1, 1] and dataset.train.labels.dtype == "int64"
    assert dataset.train.pictures[2].shape == (2, 3, 3)
    assert dataset.source == str(tmp_path) and dataset.notes == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_train_val_and_test(tmp_path, name):
    tree(tmp_path, "train/a/1.png", "train/b/2.png", f"{name}/b/3.png", "test/a/4.png", "test/b/5.png")
    dataset = load(tmp_path)
    assert files(dataset.val, tmp_path) == [f"{name}/b/3.png"] and dataset.val.labels.tolist() == [1]
    assert dataset.test.labels.tolist() == [0, 1] and len(dataset.train) == 2


def test_only_test_or_only_val(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/2.png", "test/a/4.png")
    dataset = load(tmp_path)
    assert dataset.val is None and len(dataset.test) == 1


def test_classes_that_are_numbers_are_sorted_by_value(tmp_path):
    tree(tmp_path, *(f"{i}/x.png" for i in (10, 9, 1, 2)))
    assert load(tmp_path).classes == ("1", "2", "9", "10")


def test_hidden_and_other_files(tmp_path):
    tree(tmp_path, "a/1.png", "b/2.png", ".git/3.png", "a/.4.png", "a/.cache/5.png")
    for name in ("a/Thumbs.db", "b/readme.txt", "top.txt", "a/.DS_Store"):
        (tmp_path / name).touch()
    dataset = load(tmp_path)
    assert files(dataset.train, tmp_path) == ["a/1.png", "b/2.png"]
    (note,) = dataset.notes
    assert note == (
        f"Skipped in '{tmp_path}': 3 hidden files and folders (for example '.git'), "
        "2 files that are not pictures (for example 'top.txt'), "
        "2 files and folders of the system (for example 'a/.DS_Store')."
    )


def test_links_are_followed(tmp_path):
    tree(tmp_path / "elsewhere", "1.png")
    tree(tmp_path / "others", "3.png")
    tree(tmp_path / "data", "b/2.png")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "data" / "b" / "3.png").symlink_to(tmp_path / "others" / "3.png")
    dataset = load(tmp_path / "data")
    assert dataset.classes == ("a", "b") and dataset.train.labels.tolist() == [0, 1, 1]


def test_folders_beside_the_splits_are_named(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/2.png", "unlabelled/3.png")
    assert load(tmp_path).notes == (f"The folders 'unlabelled' in '{tmp_path}' are not used.",)


def test_a_class_may_be_called_train(tmp_path):
    tree(tmp_path, "train/1.png", "bus/2.png")
    assert load(tmp_path).classes == ("bus", "train")


def test_val_and_test_from_other_places(tmp_path):
    tree(tmp_path, "data/a/1.png", "data/b/2.png", "held/b/3.png", "more/4.png")
    (tmp_path / "test.txt").write_text("more/4.png a\n")
    dataset = load(tmp_path / "data", val=tmp_path / "held", test=tmp_path / "test.txt")
    assert dataset.classes == ("a", "b")
    assert dataset.val.labels.tolist() == [1] and dataset.test.labels.tolist() == [0]
    assert dataset.notes == tuple(
        f"There are no pictures of '{name}' in {part}, so its figures say nothing about them."
        for name, part in (("a", "val"), ("b", "test"))
    )


def test_given_val_replaces_its_own(tmp_path):
    tree(tmp_path, "data/train/a/1.png", "data/train/b/2.png", "data/val/a/3.png", "held/b/4.png")
    assert load(tmp_path / "data", val=tmp_path / "held").val.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("names", "code", "facts"),
    [
        (["1.png", "2.png"], "folder-without-classes", ("2 pictures",)),
        (["only/1.png"], "one-class", ("'only'",)),
        (["train/1.png"], "folder-without-train", ("'train'",)),
        (["val/a/1.png", "val/b/1.png"], "folder-without-train", ("'train'",)),
        (["a/1.png", "b/1.png", "test/a/1.png"], "folder-without-train", ("'train'",)),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            "class-without-training-pictures",
            ("/val'", "'c'", "/train'"),
        ),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "class-without-training-pictures", ("/test'", "'c'")),
        (["train/a/1.png", "train/b/1.png", "val/1.png"], "folder-without-classes", ("/val'", "1 picture.")),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "split-twice", ("'val', 'valid'",)),
    ],
)
def test_layouts_that_are_refused(tmp_path, names, code, facts):
    tree(tmp_path, *names)
    with refused(code, str(tmp_path), *facts, kind=DataError) as caught:
        load(tmp_path)
    assert caught.value.remedy


def test_empty_class(tmp_path):
    tree(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png")
    (tmp_path / "val" / "b").mkdir()
    assert len(load(tmp_path).val) == 1
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "empty" / "notes.txt").touch()
    with refused("class-without-pictures", "'empty'", "/train'", kind=DataError):
        load(tmp_path)


def test_empty_folder(tmp_path):
    with refused("folder-without-classes", "0 pictures", f"{tmp_path}/cat", kind=DataError):
        load(tmp_path)


def test_paths_that_are_no_datasets(tmp_path):
    picture(tmp_path / "a.png")
    with refused("missing-dataset", "gone'", kind=UsageError):
        dataset_at(tmp_path / "gone")
    with refused("missing-dataset", "nowhere'", kind=UsageError):
        dataset_at(tmp_path, val=tmp_path / "nowhere")
    with refused("single-picture", "a.png'", kind=UsageError):
        dataset_at(tmp_path / "a.png")


def test_name_is_safe(tmp_path, monkeypatch):
    folder = tree(tmp_path / "my photos (1)", "a/1.png", "b/2.png")
    assert dataset_at(folder).name == "my-photos-1"
    (folder / "list é.csv").touch()
    assert dataset_at(folder / "list é.csv").name == "list"
    monkeypatch.chdir(folder)
    assert dataset_at(".").name == "my-photos-1"


def test_looks_like_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not looks_like_path("mnist")
    (tmp_path / "mnist").mkdir()
    for text in ("mnist", "./photos", "photos/cats", ".", "~/photos", "photos\\cats"):
        assert looks_like_path(text)
