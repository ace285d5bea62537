"""What a program has becomes a dataset, or is refused by the name of the argument."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data import ArrayPictures, Dataset, Split, as_dataset, as_pictures, cache, make_dataset
from zoo.data.checked import checked
from zoo.data.decoded_split import make_stores
from zoo.data.decoding import Budgets
from zoo.errors import UnreadablePictureError
from zoo.progress import Reporter

from ..conftest import draw
from ..refusals import refused
from .stores import SPEC

RNG = np.random.default_rng(0)
COLOUR = np.stack([draw(index % 3, RNG) for index in range(6)])
GREY = COLOUR[..., 0]
LABELS = np.arange(6) % 3


def png(picture) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


class Items:
    """A dataset as torch has them: a length, and pairs by number."""

    def __init__(self, items, **attributes):
        self.items, self.asked = items, []
        vars(self).update(attributes)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        self.asked.append(number)
        return self.items[number]


class Table(Items):
    """A dataset with named columns, as Hugging Face has them."""

    def __init__(self, pictures, labels, names=("b", "a", "c")):
        super().__init__([{"img": picture, "label": label} for picture, label in zip(pictures, labels, strict=True)])
        self.features = {"img": Image_(), "label": SimpleNamespace(names=list(names))}
        self.column_names = list(self.features)

    def __getitem__(self, key):
        return [item[key] for item in self.items] if isinstance(key, str) else super().__getitem__(key)


Image_ = type("Image", (), {})


def pixels(split) -> list[np.ndarray]:
    return [split.pictures[index] for index in range(len(split))]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for path, picture in zip(paths, COLOUR, strict=True):
        path.write_bytes(png(picture))
    return paths


@pytest.mark.parametrize(
    "form",
    [
        lambda files: COLOUR,
        lambda files: files,
        lambda files: [str(file) for file in files],
        lambda files: [png(picture) for picture in COLOUR],
        lambda files: [Image.fromarray(picture) for picture in COLOUR],
        lambda files: list(COLOUR),
        lambda files: [files[0], png(COLOUR[1]), Image.fromarray(COLOUR[2]), *COLOUR[3:]],
        lambda files: np.asfortranarray(COLOUR),
    ],
    ids=["array", "paths", "texts", "bytes", "PIL", "arrays", "mixed", "columns first"],
)
def test_every_form_of_pictures_has_the_same_pixels(form, files):
    dataset = as_dataset((form(files), LABELS))
    assert all(np.array_equal(*pair) for pair in zip(pixels(dataset.train), COLOUR, strict=True))
    part = dataset.train.subset(np.array([4, 1]))
    assert all(np.array_equal(*pair) for pair in zip(pixels(part), COLOUR[[4, 1]], strict=True))
    assert part.labels.tolist() == [1, 1]
    assert dataset.classes == ("0", "1", "2")


def test_grey_arrays_are_grey():
    for array in (GREY, GREY[..., None]):
        dataset = as_dataset((array, LABELS.tolist()))
        assert np.array_equal(dataset.train.pictures.array, GREY)
        assert np.array_equal(dataset.train.pictures[3], np.repeat(GREY[3][..., None], 3, 2))


def test_labels_may_be_names():
    dataset = make_dataset((COLOUR, ["cat", "dog", "ant"] * 2), test=(COLOUR[:1], ["dog"]))
    assert dataset.classes == ("ant", "cat", "dog")
    assert dataset.train.labels.tolist() == [1, 2, 0] * 2
    assert dataset.test.labels.tolist() == [2]
    ordered = make_dataset((COLOUR, ["cat", "dog", "ant"] * 2), classes=["dog", "cat", "ant"])
    assert ordered.train.labels.tolist() == [1, 0, 2] * 2


def test_a_dataset_of_pairs():
    given = Items(list(zip(COLOUR, LABELS, strict=True)), classes=["x", "y", "z"])
    dataset = as_dataset({"train": given, "validation": given})
    assert dataset.classes == ("x", "y", "z")
    assert dataset.val.labels.tolist() == LABELS.tolist()
    given.asked.clear()
    assert np.array_equal(dataset.train.pictures[5], COLOUR[5])
    assert given.asked == [5]


def test_listed_labels_save_reading_all_pictures():
    given = Items([(COLOUR[0], 0), *[(COLOUR[1], 1)] * 999], targets=[0] + [1] * 999)
    assert as_dataset(given).train.labels.sum() == 999
    assert len(given.asked) < 20
    tensors = Items([(COLOUR[0], 0), *[(COLOUR[1], 1)] * 999], targets=torch.tensor([0] + [1] * 999))
    assert as_dataset(tensors).train.labels.sum() == 999
    wrong = Items([(COLOUR[0], 0), *[(COLOUR[1], 1)] * 999], targets=[1] * 1000)  # a target_transform changes them
    assert as_dataset(wrong).train.labels.sum() == 999


def test_columns_have_types():
    table = Table([Image.fromarray(picture) for picture in COLOUR], LABELS.tolist())
    dataset = as_dataset({"train": table, "test": Table(COLOUR[:2], [0, 1], names=("a", "b"))})
    assert dataset.classes == ("b", "a", "c")
    assert dataset.train.labels.tolist() == LABELS.tolist()
    assert dataset.test.labels.tolist() == [1, 0]  # by name
    assert np.array_equal(dataset.train.pictures[2], COLOUR[2])


def test_an_item_that_fails_is_an_unreadable_picture():
    given = Items([(COLOUR[0], 0), (COLOUR[1], 1), (COLOUR[2][..., :2], 0)], targets=[0, 1, 0])
    pictures = as_dataset(given).train.pictures
    with refused("array-shape", "Picture 2", "[24, 24, 2]", kind=UnreadablePictureError):
        pictures[2]
    given.items[1] = None
    with refused("item-failed", "picture 1", "TypeError", kind=UnreadablePictureError):
        pictures[1]
    with refused("unknown-picture-format", "Picture 0 cannot be read", kind=UnreadablePictureError):
        as_pictures([b"no picture"])[0]


@pytest.mark.parametrize("memory", [2**20, 0])
def test_items_of_a_dataset_are_decoded_for_this_training_alone(memory):
    found = []
    for pictures in (COLOUR, COLOUR[::-1]):
        split = as_dataset(Items(list(zip(pictures, LABELS, strict=True)))).train
        budgets = Budgets(memory, 2**20)
        (store,) = make_stores(
            [split], SPEC, augmented=False, budgets=budgets, origin="", reporter=Reporter(quiet=True)
        )
        found.append(store.pixels.take(np.arange(6)))
    assert np.array_equal(found[0], found[1][::-1])
    assert not np.array_equal(found[0], found[1])
    assert cache.entries() == []
    in_memory = as_dataset(([png(picture) for picture in COLOUR], LABELS)).train  # bytes are the same in each process
    make_stores([in_memory], SPEC, augmented=False, budgets=Budgets(0, 2**20), origin="", reporter=Reporter(quiet=True))
    assert [entry.num_pictures for entry in cache.entries()] == [6]


def pairs(pictures=COLOUR, labels=LABELS):
    return list(zip(pictures, labels, strict=False))


WRONG = {
    "None": (None, "no-training-pictures", "train is None"),
    "a number": (7, "split-type", "train is 7"),
    "a list": ([COLOUR, LABELS], "split-type", "a list of length 2"),
    "three": ((COLOUR, LABELS, 3), "split-type", "a tuple of length 3"),
    "a generator of pictures": (((picture for picture in COLOUR), LABELS), "pictures-once", "a generator"),
    "a text": (("photos", LABELS), "pictures-type", "'photos'"),
    "no pictures": ((None, LABELS), "pictures-type", "None"),
    "floats from 0 to 1": ((COLOUR / 255, LABELS), "pictures-array", "float64", "* 255"),
    "normalised": ((COLOUR / 99 - 1, LABELS), "pictures-array", "float64", "before normalisation"),
    "channels first": ((COLOUR.transpose(0, 3, 1, 2), LABELS), "pictures-array", "transpose(0, 2, 3, 1)"),
    "one row": ((COLOUR[0][0], LABELS), "pictures-array", "[24, 3]"),
    "one picture": ((COLOUR[0], LABELS[:1]), "pictures-array", "[picture]"),
    "int64": ((COLOUR.astype(np.int64), LABELS), "pictures-array", "int64"),
    "four channels": ((np.zeros((6, 9, 9, 4), np.uint8), LABELS), "pictures-array", "[6, 9, 9, 4]"),
    "fewer labels": ((COLOUR, LABELS[:4]), "labels-count", "4 labels for 6 pictures"),
    "more labels": ((COLOUR, [*LABELS, 0]), "labels-count", "7 labels for 6 pictures"),
    "labels from 1": ((COLOUR, LABELS + 1), "labels-range", "no picture has the label 0"),
    "negative labels": ((COLOUR, LABELS - 1), "labels-range", "from -1"),
    "a gap": ((COLOUR, LABELS * 2), "labels-range", "no picture has the label 1"),
    "float labels": ((COLOUR, LABELS / 1), "labels-type", "float64"),
    "one-hot": ((COLOUR, np.eye(3)[LABELS]), "labels-type", "argmax(1)"),
    "no labels": ((COLOUR, None), "labels-type", "None"),
    "one class": ((COLOUR, LABELS * 0), "number-of-classes", "1 class names"),
    "no training split": ({"test": (COLOUR, LABELS)}, "split-names", "'test'"),
    "an unknown split": ({"train": (COLOUR, LABELS), "dev": (COLOUR, LABELS)}, "split-names", "'dev'"),
    "nothing": (Items([]), "no-training-pictures", "Items"),
    "no length": (iter(pairs()), "split-type", "a list_iterator"),
    "pictures alone": (Items(list(COLOUR)), "split-items", "[24, 24, 3]"),
    "dictionaries": (Items([{"image": COLOUR[0], "label": 0}]), "split-items", "a dict"),
    "tensors": (Items(pairs(COLOUR.transpose(0, 3, 1, 2) / 255)), "split-tensors", "ToTensor"),
    "normalised items": (Items(pairs(COLOUR / 99 - 1)), "split-items", "float64"),
    "it raises": (Items(SimpleNamespace(__len__=lambda: 3)), "split-without-length", "Items"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_by_name(case):
    given, code, *facts = WRONG[case]
    with refused(code, *facts):
        as_dataset(given)


def test_a_dataset_that_raises_is_named():
    class Broken(Items):
        def __getitem__(self, number):
            raise OSError("the archive is gone.")

    with refused("split-raised", "Broken", "OSError: the archive is gone"):
        as_dataset(Broken([1, 2]))


GOOD = Dataset(classes=("a", "b"), train=Split(ArrayPictures(COLOUR), LABELS % 2))

BAD = {
    "no dataset": ([GOOD], "no-dataset", "a list of length 1"),
    "a list of classes": (replace(GOOD, classes=["a", "b"]), "classes-type", "a list"),
    "numbers as classes": (replace(GOOD, classes=(0, 1)), "classes-type"),
    "one class": (replace(GOOD, classes=("a",)), "number-of-classes"),
    "a class twice": (replace(GOOD, classes=("a", "a")), "class-twice", "'a'"),
    "an empty class": (replace(GOOD, classes=("a", " ")), "impossible-class-name"),
    "no split": (replace(GOOD, train=(COLOUR, LABELS)), "no-split", "split train"),
    "no test split": (replace(GOOD, test=[1]), "no-split", "split test"),
    "bare pictures": (replace(GOOD, train=Split(COLOUR, LABELS)), "pictures-type"),
    "float pictures": (replace(GOOD, train=Split(ArrayPictures(COLOUR / 255), LABELS % 2)), "pictures-array"),
    "a label too many": (replace(GOOD, train=Split(ArrayPictures(COLOUR), LABELS)), "labels-range", "0 to 2"),
    "a negative label": (replace(GOOD, val=Split(ArrayPictures(COLOUR), LABELS - 2)), "labels-range", "split val"),
    "fewer labels": (replace(GOOD, train=Split(ArrayPictures(COLOUR), LABELS[:2] % 2)), "labels-count"),
    "float labels": (replace(GOOD, train=Split(ArrayPictures(COLOUR), LABELS / 9)), "labels-type"),
    "no pictures": (
        replace(GOOD, train=Split(ArrayPictures(COLOUR[:0]), np.empty(0, np.int64))),
        "no-training-pictures",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_loader_that_breaks_the_contract_is_refused_by_its_name(case):
    given, code, *facts = BAD[case]
    with refused(code, "'mine'", *facts):
        checked(given, "mine")


def test_labels_of_any_whole_numbers_are_int64():
    found = checked(replace(GOOD, train=Split(ArrayPictures(COLOUR), (LABELS % 2).astype(np.uint8))), "mine")
    assert found.train.labels.dtype == np.int64
