"""The functions of the package: what commands print, as typed results."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import zoo
from zoo.audit.check import MAX_UNREADABLE
from zoo.cli import app
from zoo.data import ArrayPictures, Dataset, Split, dataset_at
from zoo.errors import DataError, UsageError
from zoo.recipes.recipe import Recipe
from zoo.specs import DatasetRequest

from .refusals import refused

SPLIT = Split(ArrayPictures(np.zeros((2, 8, 8, 3), np.uint8)), np.array([0, 1]))


def printed(*arguments: object, code: int = 0) -> dict:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def dataset(bars) -> Dataset:
    return dataset_at(bars).load(DatasetRequest(root=bars))


@pytest.fixture(scope="module")
def forms(trained, model) -> dict:
    """The same model in every form that can be evaluated."""
    return {
        "run": trained,
        "folder": trained.path,
        "text": str(trained.path),
        "file": model,
        "predictor": zoo.load(model),
        "classifier": trained.classifier(),
    }


@pytest.mark.parametrize("form", ["run", "folder", "text", "file", "predictor", "classifier"])
def test_every_form_of_a_model_is_evaluated(form, forms, bars, dataset, trained):
    by_place = zoo.evaluate(forms[form], bars)
    assert by_place.figures["top1"] == trained.metrics["top1"]
    assert (by_place.split_name, by_place.classes) == ("test", trained.classes)
    by_dataset = zoo.evaluate(forms[form], dataset)
    by_split = zoo.evaluate(forms[form], dataset.test)
    assert np.array_equal(by_place.logits, by_dataset.logits)
    assert np.array_equal(by_place.logits, by_split.logits)
    assert (by_dataset.split_name, by_split.split_name) == ("test", "given")


def test_evaluate_returns_what_the_command_prints(trained):
    found, said = zoo.evaluate(trained, split="val"), printed("evaluate", trained.path, "--split", "val")
    assert said["metrics"] == found.figures
    assert said["split"] == found.split_name == "validation"
    assert said["dataset"] == {"name": found.dataset, "source": found.source}
    assert zoo.evaluate(trained).figures == trained.metrics


def test_evaluating_a_classifier_leaves_it_alone(trained, bars):
    classifier = trained.classifier().train()
    before = [parameter.stride() for parameter in classifier.parameters()]
    zoo.evaluate(classifier, bars)
    assert classifier.training
    assert [parameter.stride() for parameter in classifier.parameters()] == before


@pytest.mark.parametrize(
    ("form", "data", "options", "refusal"),
    [
        (5, None, {}, ("impossible-option", "type int", "zoo.Classifier")),
        ("absent", None, {}, ("usage", "absent")),
        ("run", 5, {}, ("impossible-option", "type int", "zoo.data.Dataset")),
        ("run", "./absent", {}, ("missing-dataset", "absent")),
        ("run", None, {"split": "tset"}, ("impossible-option", "split cannot be 'tset'", "test, val, train")),
        ("run", None, {"device": "tpu"}, ("impossible-option", "device cannot be 'tpu'")),
        ("classifier", None, {}, ("usage", "unknown pictures")),
        ("predictor", SPLIT, {"device": "cpu"}, ("impossible-option", "zoo.load")),
    ],
)
def test_wrong_evaluations_are_refused(forms, form, data, options, refusal):
    with refused(*refusal):
        zoo.evaluate(forms.get(form, form), data, **options)


def test_a_split_of_other_labels_is_refused(trained):
    with refused("labels-out-of-range", "0 to 3", kind=DataError):
        zoo.evaluate(trained, Split(SPLIT.pictures, np.array([0, 3])))
    with refused("impossible-option", "no splits", kind=UsageError):
        zoo.evaluate(trained, SPLIT, split="test")


class Pairs:
    """A dataset of another library: pairs of a picture and a label, and perhaps names of its own."""

    def __init__(self, split: Split, order: list[int], classes: list[str] | None) -> None:
        self.split, self.order = split, order
        if classes:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int):
        if not 0 <= index < len(self):
            raise IndexError
        return self.split.pictures[index], self.order[int(self.split.labels[index])]


def test_pairs_and_datasets_of_other_libraries_are_evaluated_by_name(trained, dataset, model):
    expected = zoo.evaluate(trained, dataset.test)
    arrays = [dataset.test.pictures[i] for i in range(18)]
    same, turned = Pairs(dataset.test, [0, 1, 2], None), Pairs(dataset.test, [2, 1, 0], ["slope", "line", "bar"])
    for data in ((arrays, dataset.test.labels), same, turned, {"train": same, "test": turned}):
        found = zoo.evaluate(trained, data)
        assert np.array_equal(found.labels, expected.labels)
        assert found.figures == expected.figures
    with refused("data", "'cat'", kind=DataError):
        zoo.evaluate(trained, Pairs(dataset.test, [0, 1, 2], ["bar", "line", "cat"]))
    with refused("split-names", "'val'", "'train'", kind=UsageError):
        zoo.evaluate(trained, {"train": same}, split="val")
    only = dataset.test.subset(np.flatnonzero(dataset.test.labels == 2))
    assert set(zoo.evaluate(model, Pairs(only, [0, 1, 2], None)).labels.tolist()) == {2}
    assert zoo.check(same).splits["train"]["pictures"] == 18


def test_verify_takes_paths_runs_and_loaded_pictures(model, trained, bars, dataset, artifacts_here):
    found = zoo.verify(model, data=bars, against=trained)
    assert found.passed
    assert zoo.verify(str(model), data=dataset).findings["data"] == found.findings["data"]
    assert (
        printed("verify", model, "--data", bars)["checks"]["data"]["figures"]["found"]
        == (found.findings["data"].figures["found"])
    )


def test_check_returns_what_the_command_prints(bars, dataset, tmp_path):
    report, said = zoo.check(bars), printed("check", bars)
    assert (report.name, report.source, report.usable) == (said["dataset"], said["source"], True)
    assert report.splits == said["splits"]
    assert zoo.check(dataset).splits == report.splits
    assert len(report.scan) == 156
    assert zoo.check(bars / "train", val=bars / "val").splits["val"] == report.splits["val"]


def test_a_loaded_dataset_is_checked_by_the_same_rules():
    pictures = ArrayPictures(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8))
    pictures.array[7] = pictures.array[0]
    own = Dataset(classes=("a", "b"), train=Split(pictures, np.arange(8) % 2))
    assert "exact-label-conflict" in [problem.kind for problem in zoo.check(own).problems]
    with refused("dataset-with-own-splits", kind=UsageError):
        zoo.check(own, val="photos")
    with refused("split-type", kind=DataError):
        zoo.check([])
    with refused("impossible-option", "max_unreadable cannot be 2", kind=UsageError):
        zoo.check(own, max_unreadable=2)
    assert Recipe.defaults()["max_unreadable"] == MAX_UNREADABLE


def test_bench_measures_every_setting(model):
    found = zoo.bench([model, str(model)], batch_sizes=[1, 2], threads=[1], seconds=0.05)
    assert found.names == {0: "model.onnx #1", 1: "model.onnx #2"}
    assert [(r.setting.index, r.setting.batch) for r in found.good] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [found.base(result).setting.batch for result in found.results] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "asked",
    [
        {"artifacts": "model.onnx"},
        {"artifacts": []},
        {"artifacts": [5]},
        {"batch_sizes": [0]},
        {"batch_sizes": 8},
        {"threads": [1.5]},
        {"seconds": 0},
        {"size": (24,)},
        {"device": "tpu"},
    ],
    ids=str,
)
def test_wrong_benchmarks_are_refused(asked, model):
    ((name, value),) = asked.items()
    with refused("impossible-option", f"{name} cannot be {value!r}", kind=UsageError):
        zoo.bench(**{"artifacts": [model], **asked})


def test_evaluating_a_file_needs_no_torch(model, bars):
    program = "import sys, zoo; print(zoo.evaluate(*sys.argv[1:]).figures['num_pictures'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, model, bars], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["18", "False"]
