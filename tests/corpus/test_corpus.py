"""Odd files and folders through every command: each is answered right, refused by name, or counted; none is left out.

A seeded sample of sixty runs in `make test`, all of them in `make test-slow`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from zoo.artifacts.predictor import load
from zoo.cli import app
from zoo.data import dataset_at
from zoo.errors import DataError, UnreadablePictureError, UsageError, ZooError
from zoo.exporting.pipeline import export
from zoo.images import read_picture, search
from zoo.images.skipped import FOREIGN
from zoo.progress import printable
from zoo.specs import DatasetRequest
from zoo_demo.worker import answer

from ..conftest import write_folder
from ..here import artifacts_here
from ..watch import train
from .files import EITHER, REFUSED, SKIPPED, TAKEN, Odd, all_files
from .folders import OddFolder, all_folders, classes

FILES, FOLDERS = 48, 12  # of the sample
SEED = 17


def sample(items, count):
    return random.Random(SEED).sample(items, count)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """An artifact whose classes are those of the corpus of files."""
    folder = tmp_path_factory.mktemp("corpus")
    data = write_folder(folder / "data", {"train": 10, "val": 2}, classes=("odd", "plain"))
    run = train(data, folder, epochs=1)
    with artifacts_here():
        return export(run, "onnx", folder / "model.onnx").path


def command(*arguments: object):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit | ZooError):
        raise done.exception
    return done


def message(done) -> str:
    return done.stderr + (printable(str(done.exception)) if isinstance(done.exception, ZooError) else "")


def write(folder: Path, files: list[Odd]) -> dict[str, Odd]:
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).write_bytes(file.data)
    return {str(folder / file.name): file for file in files}


def outcome(path: str, file: Odd) -> str:
    """What the decoder makes of it, after a comparison with what it must be."""
    try:
        picture = read_picture(path)
    except UnreadablePictureError as error:
        assert file.expected in (REFUSED, EITHER), f"{file.name!a} was refused: {error}"
        assert file.code in ("", error.code), f"{file.name!a} was refused as {error.code}: {error}"
        assert path in error.cause
        return REFUSED
    assert file.expected in (TAKEN, EITHER), f"{file.name!a} was taken"
    if file.shape:
        assert picture.shape == (*file.shape, 3), file.name
        middle = (picture.shape[1] + 1) // 2
        assert picture[:, middle:].mean() - picture[:, : picture.shape[1] // 2].mean() > 60, file.name
    return TAKEN


def look_at_files(files: list[Odd], model: Path, root: Path) -> None:
    odd = write(root / "data" / "odd", files)
    classes("plain")(root / "data")
    shown = {path: file for path, file in odd.items() if file.expected != SKIPPED}
    found = search(root / "data" / "odd")
    assert {str(path) for path in found.pictures} == set(shown)
    assert found.skipped.counts == Counter(file.kind for file in files if file.kind)
    outcomes = {path: outcome(path, file) for path, file in shown.items()}
    refused = {path for path, result in outcomes.items() if result == REFUSED}
    notes = found.notes(root / "data")
    for look in (look_through_predict, look_through_check, look_through_training, look_through_demo):
        look(root, model, outcomes, refused, notes)
    assert {str(path) for path in found.foreign} == {path for path, file in odd.items() if file.kind == FOREIGN}


def look_through_predict(root, model, outcomes, refused, notes):
    done = command("predict", model, root / "data" / "odd", "--json")
    assert {row["file"] for row in json.loads(done.stdout)} == set(outcomes) - refused
    for path in refused:
        assert f"{printable(path)}' cannot be read" in done.stderr
    foreign = search(root / "data" / "odd").foreign
    for path in foreign:
        assert f"{path}' cannot be read" in done.stderr
    assert done.exit_code == bool(refused or foreign)


def look_through_check(root, model, outcomes, refused, notes):
    done = command("check", root / "data", "--json", "--max-unreadable", "1")
    found = json.loads(done.stdout)
    assert found["splits"]["train"]["pictures"] == len(outcomes) + 4
    assert found["splits"]["train"]["unreadable"] == len(refused)
    (told,) = [problem["examples"] for problem in found["problems"] if problem["kind"] == "unreadable"] or [[]]
    assert all(any(path in line for line in told) for path in refused)
    assert [note for note in found["notes"] if note.startswith(("Skipped", "Pictures"))] == list(notes)


def look_through_training(root, model, outcomes, refused, notes):
    """Every picture is a training or a validation picture, or named; `evaluate` names the same."""
    run = train(root / "data", root, epochs=1, max_unreadable=1.0)
    assert len(run.info.unreadable) == len(refused)
    assert all(any(path in line for line in run.info.unreadable) for path in refused)
    done = command("evaluate", model, root / "data", "--json")
    found = json.loads(done.stdout)
    assert found["metrics"]["num_pictures"] == len(outcomes) - len(refused) + 4
    assert len(found["unreadable"]) == len(refused)
    assert all(note in found["notes"] for note in notes)


def look_through_demo(root, model, outcomes, refused, notes):
    predictor = load(model)
    for path, result in outcomes.items():
        data = Path(path).read_bytes()
        if result == REFUSED:
            with pytest.raises(UnreadablePictureError):
                answer(predictor, "picture", data)
        else:
            said, view = answer(predictor, "picture", data)
            assert np.isclose(sum(share for _, share in said["top"]), 1) and view


def look_at_folder(folder: OddFolder, model: Path, root: Path) -> None:
    (root / "data").mkdir()
    path = folder.build(root / "data")
    checked = command("check", path, "--json")
    if folder.counts is None:
        look_at_refused(folder, path, checked, root)
    else:
        look_at_taken(folder, path, checked, root)
    look_at_answers(path if path.is_dir() else path.parent, model)


def look_at_refused(folder: OddFolder, path: Path, checked, root: Path) -> None:
    with pytest.raises(DataError) as caught:
        train(path, root, epochs=1)
    assert caught.value.code == folder.code, (folder.name, caught.value)
    assert checked.exit_code == 1, folder.name
    for text in folder.said:
        assert text in str(caught.value), (folder.name, caught.value)
    assert not (root / "run" / "best.safetensors").exists()
    if isinstance(checked.exception, ZooError):
        assert checked.exception.code == folder.code
    else:
        assert json.loads(checked.stdout)["usable"] is False


def look_at_taken(folder: OddFolder, path: Path, checked, root: Path) -> None:
    dataset = dataset_at(path).load(DatasetRequest(root=path))
    counts = Counter(dataset.classes[label] for label in dataset.train.labels)
    assert counts == folder.counts, folder.name
    assert len(dataset.val or ()) == folder.val and len(dataset.test or ()) == folder.test, folder.name
    for text in folder.said:
        assert any(text in note for note in dataset.notes), (folder.name, dataset.notes)
    assert folder.said or not dataset.notes or any(note.startswith("Taken in") for note in dataset.notes), folder.name
    found = json.loads(checked.stdout)
    assert found["usable"] is True and found["notes"] == list(dataset.notes), (folder.name, found["problems"])
    run = train(path, root, epochs=1)
    assert set(run.classes) == set(folder.counts) and run.info.dataset.notes[: len(dataset.notes)] == list(
        dataset.notes
    )
    done = command("evaluate", run.path, path, "--json")
    assert done.exit_code == 0, message(done)


def look_at_answers(folder: Path, model: Path) -> None:
    """Every picture in the folder is answered or named."""
    done = command("predict", model, folder, "--json")
    try:
        found = search(folder)
    except DataError as error:
        assert done.exception.code == error.code
        return
    if not found.pictures:
        assert isinstance(done.exception, UsageError)
        return
    answered = {row["file"] for row in json.loads(done.stdout)}
    asked = {str(path) for path in (*found.pictures, *found.foreign)}
    assert answered <= asked
    for path in asked - answered:
        assert f"{printable(path)}' cannot be read" in done.stderr
    assert done.exit_code == (answered != asked)
    assert all(note in done.stderr for note in map(printable, found.notes(folder)))


def test_the_corpus_is_as_large_as_it_says():
    assert len(all_files()) >= 300
    assert len(all_folders()) >= 60


def test_a_sample_of_the_files(model, no_plots, tmp_path):
    look_at_files(sample(all_files(), FILES), model, tmp_path)


@pytest.mark.parametrize("folder", sample(all_folders(), FOLDERS), ids=lambda folder: folder.name)
def test_a_sample_of_the_folders(folder, model, no_plots, tmp_path):
    look_at_folder(folder, model, tmp_path)


@pytest.mark.slow
def test_all_files(model, no_plots, tmp_path):
    look_at_files(all_files(), model, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("folder", all_folders(), ids=lambda folder: folder.name)
def test_all_folders(folder, model, no_plots, tmp_path):
    look_at_folder(folder, model, tmp_path)
