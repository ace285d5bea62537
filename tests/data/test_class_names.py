"""Names that are one class, that may be, and that cannot be."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from zoo.artifacts.card import _CONTROL
from zoo.data import dataset_at
from zoo.data.class_names import _IMPOSSIBLE
from zoo.errors import DataError
from zoo.evaluation.pictures import choose
from zoo.recipes.place import PicturePlace
from zoo.specs import DatasetRequest

from ..refusals import refused

WHOLE, APART = "caf\u00e9", "cafe\u0301"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(path)


def listed(root, rows):
    for index, _ in enumerate(rows):
        picture(root / f"{index}.png")
    path = root / "list.csv"
    path.write_text("path,label\n" + "".join(f'{i}.png,"{label}"\n' for i, label in enumerate(rows)))
    return path


def load(path, **parts):
    return dataset_at(path, **parts).load(DatasetRequest(root=path))


def test_two_unicode_forms_are_one_class_and_said(tmp_path):
    dataset = load(listed(tmp_path, [WHOLE, APART, "tea"]))
    assert dataset.classes == (WHOLE, "tea") and dataset.train.labels.tolist() == [0, 0, 1]
    assert dataset.notes == (
        f"Class names that are written in several Unicode forms are taken as one class: '{WHOLE}'.",
    )


def test_forms_that_differ_between_splits_are_one_class(tmp_path):
    for name in (f"train/{APART}/1.png", "train/tea/1.png", f"val/{WHOLE}/2.png", "val/tea/2.png"):
        picture(tmp_path / name)
    dataset = load(tmp_path)
    assert dataset.classes == (WHOLE, "tea") and dataset.val.labels.tolist() == [0, 1]
    assert len(dataset.notes) == 1


def test_one_form_stays_as_it_is(tmp_path):
    dataset = load(listed(tmp_path, [APART, "tea"]))
    assert dataset.classes == (APART, "tea") and dataset.notes == ()


def test_evaluate_matches_the_other_form(tmp_path):
    found = choose(PicturePlace(dataset=str(listed(tmp_path, [APART, "tea"]))), ("tea", WHOLE), None, own=False)
    assert found.split.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["Cat", "cat", "dog"], "'Cat' and 'cat'"),
        (["1", "01", "2"], "'01' and '1'"),
        (["red fox", "red_fox", "Red-Fox"], "'Red-Fox' and 'red fox' and 'red_fox'"),
        (["Straße", "STRASSE", "x"], "'STRASSE' and 'Straße'"),
    ],
)
def test_names_that_may_be_one_class_are_said_and_kept(tmp_path, names, alike):
    dataset = load(listed(tmp_path, names))
    assert set(dataset.classes) == set(names)
    (note,) = dataset.notes
    assert note.startswith(f"Classes whose names differ only in case, spaces, hyphens or leading zeros: {alike}.")


@pytest.mark.parametrize("name", ["scab rust", "scab,rust", "rust+scab", "Scab_Rust", "scab and rust", "scab|rust"])
def test_names_that_combine_others_are_said(tmp_path, name):
    dataset = load(listed(tmp_path, ["scab", "rust", name]))
    assert len(dataset.classes) == 3
    assert any(note.startswith(f"Classes whose names combine other classes: '{name}'.") for note in dataset.notes)


@pytest.mark.parametrize(
    "names",
    [["fox", "red fox"], ["1", "2", "1-2"], ["-1", "1"], ["C", "C++", "C#"], ["a", "b"], ["sand", "sandwich"]],
)
def test_other_names_are_not_doubted(tmp_path, names):
    assert load(listed(tmp_path, names)).notes == ()


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\u2028b", "a\x7fb", "   ", "x" * 1001])
def test_impossible_names_are_refused_before_anything_is_decoded(tmp_path, name):
    with refused("impossible-class-name", "list.csv", kind=DataError):
        load(listed(tmp_path, [name, "b"]) if name.strip() else blank(tmp_path))


def blank(root):
    picture(root / "0.png")
    picture(root / "1.png")
    path = root / "list.txt"
    path.write_text('0.png ""\n1.png b\n')
    path.rename(root / "list.csv.txt")
    return root / "list.csv.txt"


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\tb", b"a\nb"])
def test_impossible_folders_are_refused_in_each_split(tmp_path, name):
    for folder in (b"a", b"b"):
        picture(tmp_path / "train" / os.fsdecode(folder) / "1.png")
    picture(tmp_path / "val" / os.fsdecode(name) / "2.png")
    with refused("impossible-class-name", f"'{tmp_path}/val'", kind=DataError) as caught:
        load(tmp_path)
    assert str(caught.value).isprintable()


def test_the_rule_is_that_of_exported_files():
    assert _IMPOSSIBLE.pattern == _CONTROL.pattern
