"""Each rule of datasets names the dataset that breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zoo.data import ArrayPictures, Dataset, Split
from zoo.errors import DataError
from zoo.specs import DatasetRequest, DatasetSpec
from zoo.testing import ConformanceError, check_dataset
from zoo.testing.datasets import RULES, report_dataset


def pictures(count=12, seed=0, grey=True) -> np.ndarray:
    shape = (count, 16, 16) if grey else (count, 16, 16, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def dataset(train=None, labels=None, test=None, classes=("a", "b")) -> Dataset:
    train = ArrayPictures(pictures()) if train is None else train
    labels = np.arange(len(train)) % 2 if labels is None else labels
    return Dataset(classes=classes, train=Split(train, labels), test=test)


def needs_files(request):
    if not (request.root / "shapes").exists():
        raise DataError("The files are missing.", "Fetch them.")
    return dataset()


def loading(load, **changed) -> DatasetSpec:
    return DatasetSpec(
        name="shapes", **{"load": load, "native_size": 16, "channels": "grey", "num_classes": 2} | changed
    )


class Floats:
    """Pictures of another kind than uint8."""

    def __init__(self):
        self.inner = ArrayPictures(pictures())

    def __getattr__(self, name):
        return getattr(self.inner, name)

    array = None

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index].astype(np.float32)


class Shuffled:
    def __init__(self):
        self.seed = 0

    def __call__(self, request):
        self.seed += 1
        return dataset(ArrayPictures(pictures(seed=self.seed)))


def keyed(request):
    return {}[request.root]


def files_or_key_error(request):
    return dataset() if (request.root / "shapes").exists() else keyed(request)


BROKEN = {
    "wrong type": (loading(lambda _: dataset(), native_size="16"), "valid"),
    "labels out of range": (loading(lambda _: dataset(labels=np.arange(12) % 3)), "loads"),
    "floats": (loading(lambda _: dataset(ArrayPictures(pictures().astype(np.float32)))), "loads"),
    "channels first": (loading(lambda _: dataset(ArrayPictures(np.zeros((12, 3, 16, 16), np.uint8)))), "loads"),
    "no dataset": (loading(lambda _: [1]), "loads"),
    "number of classes": (loading(lambda _: dataset(), num_classes=3), "classes"),
    "a class that is not shown": (loading(lambda _: dataset(labels=np.zeros(12, int))), "classes"),
    "floats one by one": (loading(lambda _: dataset(Floats())), "pictures"),
    "another size": (loading(lambda _: dataset(), native_size=28), "as-described"),
    "colours": (loading(lambda _: dataset(ArrayPictures(pictures(grey=False)))), "as-described"),
    "0 to 1": (loading(lambda _: dataset(ArrayPictures(pictures() // 255))), "values"),
    "other pictures each time": (loading(Shuffled()), "repeats"),
    "a picture in two splits": (
        loading(lambda _: dataset(test=Split(ArrayPictures(pictures()[:2]), np.array([0, 1])))),
        "apart",
    ),
    "an error without words": (loading(files_or_key_error), "missing"),
}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "shapes").mkdir()
    return tmp_path


def test_a_sound_dataset_keeps_all_rules(root):
    assert set(check_dataset(loading(needs_files), root).kept) == {rule.name for rule in RULES}


def test_one_that_brings_its_pictures_needs_no_files(root):
    report = check_dataset(loading(lambda _: dataset()), root)
    assert [result.rule for result in report.results if result.state == "skipped"] == ["missing"]


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(case, root):
    spec, rule = BROKEN[case]
    with pytest.raises(ConformanceError) as caught:
        check_dataset(spec, root)
    assert str(caught.value).startswith(f"These rules are broken: '{rule}'.")


def test_each_rule_has_a_dataset_that_breaks_it():
    assert {rule for _, rule in BROKEN.values()} == {rule.name for rule in RULES}


def test_the_remedy_is_told(root):
    spec = replace(loading(lambda _: dataset()), num_classes=3)
    with pytest.raises(ConformanceError, match=r"It has 2 classes, and the spec says 3. Correct num_classes"):
        check_dataset(spec, root)


def test_an_optional_one_may_lack_its_files(tmp_path):
    (result,) = [
        each
        for each in report_dataset(loading(needs_files), DatasetRequest(root=tmp_path), optional=True).results
        if each.rule == "loads"
    ]
    assert (result.state, result.cause) == ("skipped", "It could not be loaded: The files are missing.")
    with pytest.raises(ConformanceError, match="'loads'"):
        check_dataset(loading(needs_files), tmp_path)
