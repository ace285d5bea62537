"""A run whose pictures moved: resumed, exported and evaluated all the same."""

import shutil

import pytest

import zoo
from zoo.runs.kept import COUNT, kept_pictures
from zoo.runs.run import Run

from ..conftest import write_folder
from ..refusals import refused
from ..watch import interrupt_after

OPTIONS = {"epochs": 3, "image_size": 16, "batch_size": 16, "augment": "none", "deterministic": True}

pytestmark = pytest.mark.usefixtures("no_plots")


@pytest.fixture
def pictures(bars, tmp_path):
    return shutil.copytree(bars, tmp_path / "pictures")


@pytest.fixture
def moved(pictures, tmp_path):
    """A finished run, and where its pictures are now."""
    run = zoo.train("tiny", pictures, output=tmp_path / "run", **OPTIONS)
    return run, pictures.rename(tmp_path / "elsewhere")


def test_a_resumed_run_takes_its_pictures_from_another_place(pictures, tmp_path, monkeypatch):
    whole = zoo.train("tiny", pictures, output=tmp_path / "whole", **OPTIONS)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        zoo.train("tiny", pictures, output=tmp_path / "run", test=str(pictures / "test"), **OPTIONS)
    elsewhere = pictures.rename(tmp_path / "elsewhere")
    with refused("missing-dataset", pictures):
        zoo.resume(tmp_path / "run")
    run = zoo.resume(tmp_path / "run", dataset=elsewhere)
    assert (run.path / "best.safetensors").read_bytes() == (whole.path / "best.safetensors").read_bytes()
    again = Run(run.path)
    assert (again.recipe.dataset, again.recipe.test) == (str(elsewhere), str(elsewhere / "test"))


def test_other_pictures_are_refused(pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(patch, 1)
        zoo.train("tiny", pictures, output=tmp_path / "run", **OPTIONS)
    (pictures / "train" / "bar" / "000.png").rename(pictures / "train" / "line" / "999.png")
    with refused("pictures-changed"):
        zoo.resume(tmp_path / "run", dataset=pictures.rename(tmp_path / "elsewhere"))


@pytest.mark.usefixtures("artifacts_here")
def test_an_export_checks_on_the_pictures_that_the_run_kept(moved):
    run, elsewhere = moved
    kept = kept_pictures(run.path, run.classes)
    assert len(kept) == 18 <= COUNT
    originals = {path.read_bytes(): path.parent.name for path in elsewhere.glob("test/*/*.png")}
    for index, path in enumerate(kept.pictures.paths):
        assert originals[path.read_bytes()] == run.classes[kept.labels[index]]
    artifact = zoo.export(run.path)
    assert artifact.report["split"] == "kept test"
    assert artifact.report["accuracy"]["pictures"] == 18


@pytest.mark.usefixtures("artifacts_here")
def test_what_needs_training_pictures_asks_for_their_place(moved, tmp_path):
    run, elsewhere = moved
    with refused("pictures-moved", run.name, "--data"):
        zoo.export(run.path, output=tmp_path / "model.onnx", precision="int8")
    artifact = zoo.export(run.path, output=tmp_path / "model.onnx", precision="int8", data=elsewhere)
    assert artifact.report["split"] == "test"


def test_pictures_of_other_classes_are_refused(moved, tmp_path):
    run, _ = moved
    other = write_folder(tmp_path / "other", {"train": 4, "val": 2}, classes=("bar", "line", "spot"))
    with refused("other-classes", other):
        zoo.export(run.path, data=other)
