"""`zoo evaluate`: the run's own figures, anybody's pictures, and clear words where they are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.cli import app
from zoo.errors import ArtifactError, DataError, UsageError

from ..conftest import write_folder
from ..exchanged import exchange


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def found(*arguments: object) -> dict:
    done = run_zoo(*arguments, "--json")
    assert done.exit_code == 0, done.output or done.exception
    return json.loads(done.stdout)


def refused(*arguments: object) -> Exception:
    done = run_zoo(*arguments)
    assert done.exit_code != 0, done.output
    assert done.stdout == ""
    return done.exception


def test_a_run_on_its_own_pictures_has_the_figures_of_run_json(trained):
    said = found(trained.path)
    assert said["split"] == "test"
    assert said["metrics"] == trained.metrics
    assert said["notes"] == []


def test_an_artifact_on_a_folder_with_splits_takes_test(model, trained, bars):
    said = found(model, bars)
    assert (said["split"], said["metrics"]["top1"]) == ("test", trained.metrics["top1"])
    assert said["metrics"]["loss"] == pytest.approx(trained.metrics["loss"], abs=1e-4)
    assert [row["pictures"] for row in said["classes"]] == [6, 6, 6]
    assert sum(row["pictures"] for row in said["confusion"]) == 18
    assert sum(row["pictures"] for row in said["calibration"]) == 18


@pytest.mark.parametrize(("wanted", "name", "pictures"), [("val", "validation", 18), ("train", "train", 120)])
def test_a_split_can_be_named(trained, wanted, name, pictures):
    said = found(trained.path, "--split", wanted)
    assert (said["split"], said["metrics"]["num_pictures"]) == (name, pictures)
    assert ("were trained on" in " ".join(said["notes"])) == (wanted == "train")


def test_a_folder_without_splits_is_evaluated_as_a_whole(model, tmp_path):
    photos = write_folder(tmp_path, {"photos": 4}, seed=5) / "photos"
    said = found(model, photos)
    assert (said["split"], said["metrics"]["num_pictures"]) == ("all", 12)


def test_classes_are_matched_by_name_and_some_may_be_missing(model, trained, tmp_path):
    photos = write_folder(tmp_path, {"photos": 8}, seed=6) / "photos"
    shutil.rmtree(photos / "bar")
    said = found(model, photos)
    assert [row["pictures"] for row in said["classes"]] == [0, 8, 8]
    assert said["metrics"]["top1"] > 0.8
    assert {row["true"] for row in said["confusion"]} == {"line", "slope"}
    shutil.rmtree(photos / "line")
    assert found(trained.path, photos)["metrics"]["num_pictures"] == 8


def test_classes_in_another_order_keep_their_names(trained, tmp_path):
    write_folder(tmp_path, {"photos": 4}, seed=6)
    lines = [f"photos/{name}/{index:03}.png {name}\n" for name in ("slope", "bar") for index in range(4)]
    (tmp_path / "list.txt").write_text("".join(lines))
    said = found(trained.path, tmp_path / "list.txt")
    assert {row["name"]: row["pictures"] for row in said["classes"]} == {"bar": 4, "line": 0, "slope": 4}
    assert said["metrics"]["top1"] > 0.8


def test_unknown_classes_are_named(model, tmp_path):
    photos = write_folder(tmp_path, {"photos": 1}, classes=("bar", "line", "slopes")) / "photos"
    error = refused(model, photos)
    assert isinstance(error, DataError)
    assert "'slopes'" in error.cause
    assert "'line'" not in error.cause
    assert "is 'slopes' its 'slope'?" in error.remedy


def test_a_validation_split_is_cut_as_the_training_cut_it(trained, tmp_path, bars):
    from zoo.data.prepare import training_splits
    from zoo.training.api import train

    data = tmp_path / "data"
    shutil.copytree(bars / "train", data)
    run = train("tiny", data, output=tmp_path / "run", epochs=1, image_size=16, augment="none", seed=7)
    said = found(run.path)
    assert said["split"] == "validation"
    assert said["metrics"] == run.metrics
    assert "seed 7" in said["notes"][0]
    assert found(run.path, data)["metrics"] == run.metrics  # the same pictures, by path
    kept = training_splits(run.dataset(), 7)[1].pictures
    wrong = {row["picture"] for row in said["mistakes"]}
    assert wrong
    assert wrong <= {str(path) for path in kept.paths}


def test_training_pictures_under_another_name_are_noticed(trained, model, bars):
    assert "120 of these 120 pictures were trained on" in found(trained.path, bars / "train")["notes"][0]
    assert found(trained.path, bars / "val")["notes"] == []


def test_an_artifact_says_where_the_name_of_its_data_comes_back(model, bars, tmp_path):
    shutil.copytree(bars / "val", tmp_path / "bars")
    assert "if these are the same pictures" in found(model, tmp_path / "bars")["notes"][0]


def test_an_artifact_of_a_folder_asks_for_pictures(model):
    error = refused(model)
    assert isinstance(error, UsageError)
    assert "'bars'" in error.cause
    assert "DATASET" in error.remedy


def test_unreadable_pictures_are_counted_and_named(model, tmp_path):
    photos = write_folder(tmp_path, {"photos": 2}) / "photos"
    (photos / "bar" / "torn.png").write_bytes(b"\x89PNG")
    done = run_zoo(model, photos)
    assert done.exit_code == 0
    assert f"Left out: '{photos / 'bar' / 'torn.png'}'" in done.stderr
    assert done.stdout.split("unreadable")[1].split()[0] == "1"
    assert found(model, photos)["metrics"]["num_pictures"] == 6


def test_mistakes_name_their_pictures(model, tmp_path):
    photos = write_folder(tmp_path, {"photos": 2}, classes=("line", "bar", "slope")) / "photos"
    said = found(model, photos)
    wrong = {Path(row["picture"]).parent.name: (row["true"], row["predicted"]) for row in said["mistakes"]}
    assert wrong["line"] == ("line", "bar")
    assert {"true": "line", "predicted": "bar", "pictures": 2} in said["confusion"]
    sure = [row["confidence"] for row in said["mistakes"]]
    assert sure == sorted(sure, reverse=True)


def test_the_table_is_for_people_and_the_report_has_no_curves(model, bars, tmp_path, trained):
    page = tmp_path / "page.html"
    done = run_zoo(model, bars, "--report", page)
    assert done.exit_code == 0, done.exception
    assert f"{trained.metrics['top1']:.2%}" in done.stdout
    assert len(done.stdout.split("precision")[1].splitlines()) == 4
    text = page.read_text()
    assert "Reliability diagram" in text
    assert "Loss over" not in text
    assert "<dt>dataset</dt><dd>bars</dd>" in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_wrong_commands(model, trained, bars, tmp_path):
    torn = tmp_path / "torn"
    shutil.copytree(trained.path, torn)
    (torn / "best.safetensors").write_bytes(b"torn")
    gone = tmp_path / "gone"
    shutil.copytree(trained.path, gone)
    recipe = (gone / "recipe.toml").read_text().replace(str(bars), str(tmp_path / "moved"))
    (gone / "recipe.toml").write_text(recipe)
    old = tmp_path / "old"
    shutil.copytree(trained.path, old)
    (old / "run.json").write_text('{"classes": ["bar"]}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "bar").mkdir(parents=True)
    unreadable = tmp_path / "unreadable" / "bar"
    unreadable.mkdir(parents=True)
    (unreadable / "a.png").touch()
    cases = [
        ((torn,), ArtifactError, "cannot be read"),
        ((gone,), UsageError, "were not found: "),
        ((old,), UsageError, "is damaged"),
        ((tmp_path / "absent",), UsageError, "No run and no file"),
        ((tmp_path / "empty",), UsageError, "No run was found at"),
        ((model, tmp_path / "absent"), UsageError, "does not exist"),
        ((model, tmp_path / "empty"), DataError, "holds 0 pictures"),
        ((model, tmp_path / "hollow"), DataError, "no pictures"),
        ((model, tmp_path / "unreadable"), DataError, "None of the 1 pictures"),
        ((model, bars / "test", "--split", "val"), UsageError, "has no splits"),
        ((model, "minst"), UsageError, "no dataset named 'minst'"),
        ((model, bars / "test" / "bar" / "000.png"), UsageError, "is one picture"),
        ((model, bars, "--report", tmp_path), UsageError, "is a folder"),
        ((model, bars, "--report", tmp_path / "no" / "page.html"), UsageError, "was not found"),
    ]
    for arguments, kind, reason in cases:
        error = refused(*arguments)
        assert isinstance(error, kind), (arguments, error)
        assert reason in error.cause, error
        assert error.remedy


def test_a_model_that_answers_with_nonsense_is_no_success(trained, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(trained.path, broken)
    exchange(broken, _2_bias=np.nan)
    assert "infinite or undefined" in refused(broken).cause


def test_an_artifact_needs_no_torch_not_even_for_its_report(model, bars, tmp_path):
    code = (
        "import sys\nfrom zoo.cli import main\nsys.argv = ['zoo', 'evaluate', *sys.argv[1:]]\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'torch', 'torchvision', 'gradio', 'onnx'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", code, model, bars, "--report", tmp_path / "page.html"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
    assert done.returncode == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_many_classes_are_cut_and_counted(monkeypatch, model, bars):
    monkeypatch.setattr("zoo.cli.evaluate.SHOWN_CLASSES", 1)
    done = run_zoo(model, bars)
    assert "and 2 more classes" in done.stdout


def test_one_large_picture_among_small_ones(model, tmp_path):
    photos = write_folder(tmp_path, {"photos": 1}) / "photos"
    Image.new("RGB", (900, 40), "white").save(photos / "bar" / "wide.png")
    assert found(model, photos)["metrics"]["num_pictures"] == 4
