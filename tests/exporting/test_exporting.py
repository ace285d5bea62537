"""From a run to an artifact: it agrees or it does not ship, and a failure leaves nothing behind."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import zoo.exporting.pipeline
from zoo import parity
from zoo.artifacts.predictor import load, read_card
from zoo.cli import app
from zoo.errors import ArtifactError, ExportError, ParityError, UnknownNameError, UsageError
from zoo.exporting.pipeline import Artifact, export
from zoo.exporting.source import RunSource
from zoo.parity.references import reference_of
from zoo.registry import registry
from zoo.specs import WriteOptions, Written

from ..exchanged import exchange
from ..refusals import refused


@pytest.fixture(scope="module")
def reference(trained) -> parity.Reference:
    return reference_of(trained, "quick")


@pytest.fixture(scope="module")
def content(reference, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "model.onnx"
    registry().exporter("onnx").spec.write(reference.classifier, path, WriteOptions())
    return path.read_bytes()


def written(content: bytes):
    """An exporter's `write` that takes no time."""

    def write(classifier, path, options) -> Written:
        path.write_bytes(content)
        return Written()

    return write


@pytest.fixture
def change(monkeypatch):
    """Changes functions of the built-in ONNX exporter in this process."""
    real = registry().exporter("onnx")

    def apply(**changes) -> None:
        spec = dataclasses.replace(real.spec, **changes)
        changed = dataclasses.replace(real, resolve=lambda: spec)
        monkeypatch.setattr(type(registry()), "exporter", lambda self, name: changed)

    return apply


@pytest.fixture
def ship(trained, reference, content, change, artifacts_here):
    """Exports the run; the seconds that torch needs to write the content are saved."""
    change(write=written(content))

    def ship(output: Path | None, **options) -> Artifact:
        return export(trained, "onnx", output, reference=reference, **options)

    return ship


def test_an_artifact_holds_what_was_evaluated(trained, ship, place):
    said = []
    artifact = ship(place / "model.onnx", progress=said.append)
    assert list(place.iterdir()) == [artifact.path] == [place / "model.onnx"]
    assert artifact.path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert artifact.card == read_card(artifact.path)
    assert artifact.card.parity == artifact.report
    assert artifact.report["real_pictures"] == 18
    assert artifact.report["max"] < 1e-5
    assert any("final file" in message for message in said)
    _, split = trained.evaluation_split()
    logits = load(artifact.path).logits([split.pictures[index] for index in range(len(split))])
    assert (logits.argmax(axis=1) == split.labels).mean() == trained.metrics["top1"]


def test_exchanged_weights_are_refused(trained, place, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.path, other)
    exchange(other, recorded=True, _2_bias=0.0)
    export(other, "onnx", place / "same.onnx", input="tensor")  # the same bytes
    exchange(other, recorded=True, _2_bias=1.0)
    with refused("weights-exchanged", other / "best.safetensors", "zoo adopt tiny", kind=ArtifactError):
        export(other, "onnx", place / "other.onnx", input="tensor")
    assert [path.name for path in place.iterdir()] == ["same.onnx"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_card_names_no_folder_of_its_maker(trained, ship, place, bars):
    card = ship(place / "model.onnx").card
    assert trained.recipe.dataset == str(bars)
    assert card.recipe["dataset"] == card.dataset.source == "bars"
    assert card.recipe["epochs"] == trained.recipe.epochs
    assert str(bars.parent) not in card.model_dump_json()


def test_the_place_is_the_runs_export_folder_unless_named(trained, ship):
    target = trained.path / "export" / "model.onnx"
    try:
        assert ship(None).path == target
        with refused("output-exists", target, "--overwrite", kind=UsageError):
            ship(None)
        before = target.stat().st_ino
        ship(None, overwrite=True)
        assert target.stat().st_ino != before
    finally:
        target.unlink()


def test_a_missing_suffix_is_added(ship, place):
    assert ship(place / "v1.2").path == place / "v1.2.onnx"


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (
            {"exporter": "torchscript", "precision": "int8"},
            ("precision-unsupported", "torchscript", "int8", "fp32"),
        ),
        ({"exporter": "pt2", "opset": 18}, ("option-unsupported", "pt2", "--opset")),
        ({"exporter": "torchscript", "external_data": True}, ("option-unsupported", "torchscript", "--external-data")),
        ({"opset": 14}, ("opset-unsupported", "opset 14", "--opset 15")),
        ({"opset": 99}, ("opset-unsupported", "opset 99")),
    ],
)
def test_what_a_format_cannot_do_is_refused(trained, reference, place, asked, refusal):
    with refused(*refusal, kind=UsageError):
        export(trained, output=place / "model", reference=reference, **asked)
    assert list(place.iterdir()) == []


def test_other_inputs_and_precisions_have_names_of_their_own(trained):
    spec = registry().exporter("onnx").spec
    places = [
        zoo.exporting.pipeline.target_of(RunSource(trained), spec, options, None, overwrite=False).name
        for options in (WriteOptions(), WriteOptions(precision="int8"), WriteOptions(input="tensor", precision="fp16"))
    ]
    assert places == ["model.onnx", "model-int8.onnx", "model-tensor-fp16.onnx"]


@pytest.mark.usefixtures("artifacts_here")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_ship(trained, reference, place, precision):
    artifact = export(trained, "onnx", place / "model", precision=precision, reference=reference)
    assert artifact.card.precision == precision
    assert artifact.report["accuracy"]["artifact"] >= artifact.report["accuracy"]["classifier"] - 0.06
    assert artifact.card.exported["opset"] == 18
    assert ("weight_bits" in artifact.card.exported) == (precision == "int8")
    assert list(place.iterdir()) == [artifact.path]


@pytest.mark.usefixtures("artifacts_here")
def test_the_command_names_what_int8_costs(trained, place):
    done = run_zoo(trained.path, "--onnx", "--precision", "int8", "--output", place / "bars")
    assert done.exit_code == 0, done.output
    facts = read_card(place / "bars.onnx").exported
    assert f"int8: {len(facts['float_layers'])} of {facts['layers']} layers stay in float" in done.stdout
    assert f"loses {facts['lost_points']:.2f} points" in done.stdout


@pytest.mark.usefixtures("artifacts_here")
def test_weights_beside_the_file(trained, reference, place):
    options = {"external_data": True, "input": "tensor", "reference": reference}
    artifact = export(trained, "onnx", place / "model", **options)
    data = place / "model.onnx.data"
    assert sorted(place.iterdir()) == [artifact.path, data]
    load(artifact.path)
    with refused("output-exists", artifact.path, kind=UsageError):
        export(trained, "onnx", place / "model", **options)
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with refused("hash-changed", artifact.path, kind=ArtifactError):
        load(artifact.path)


@pytest.mark.usefixtures("artifacts_here")
def test_a_run_may_be_named_by_its_folder(trained, reference, place):
    assert export(trained.path, place / "model.pt", reference=reference).card.backbone == "tiny"


def test_unknown_formats_are_named(trained):
    with refused("unknown-name", "'onx'", "onnx", kind=UnknownNameError):
        export(trained, "onx")


def test_places_that_cannot_be(ship, place):
    (place / "file").touch()
    with refused("output-is-folder", place, kind=UsageError):
        ship(place)
    with refused("missing-folder", place / "absent", kind=UsageError):
        ship(place / "absent" / "model.onnx")
    with refused("missing-folder", place / "file", kind=UsageError):
        ship(place / "file" / "model.onnx")


def test_a_folder_that_cannot_be_written(ship, place, monkeypatch):
    # Tests may run as root, whom no permission stops.
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with refused("output-not-written", "model.onnx", "permission denied", kind=ExportError):
        ship(place / "model.onnx")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root, and Windows, write anywhere")
def test_a_read_only_folder(ship, place):
    place.chmod(0o500)
    with refused("output-not-written", "permission denied", kind=ExportError):
        ship(place / "model.onnx")


def write_other(classifier, path, options):
    """Writes a network whose first bias is not the classifier's."""
    from zoo_exporters import onnx

    other = copy.deepcopy(classifier)
    with torch.no_grad():
        other.network[2].bias[0] += 1
    return onnx.write(other, path, options)


def full_disk(classifier, path, options):
    path.write_bytes(b"half of it")
    raise OSError(28, "No space left on device")


def interrupted(classifier, path, options):
    path.write_bytes(b"half of it")
    raise KeyboardInterrupt


def spoils_the_hash(path, text):
    from zoo_exporters import onnx

    onnx.write_card(path, json.dumps(json.loads(text) | {"content_hash": "sha256:0", "card_hash": ""}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"write": write_other}, partial(refused, "parity-logits", kind=ParityError)),
        ({"write": full_disk}, partial(refused, "output-not-written", "no space left", kind=ExportError)),
        ({"write": interrupted}, partial(pytest.raises, KeyboardInterrupt)),
        ({"write_card": spoils_the_hash}, partial(refused, "hash-changed", kind=ParityError)),
        ({"write_card": lambda path, text: None}, partial(refused, "missing-card", kind=ParityError)),
    ],
    ids=["parity", "disk", "interrupt", "hash", "card"],
)
def test_a_failure_leaves_what_was_there(ship, place, content, change, *, changes, expected):
    target = place / "model.onnx"
    target.write_bytes(b"before")
    change(**{"write": written(content)} | changes)
    with expected():
        ship(target, overwrite=True)
    assert list(place.iterdir()) == [target]
    assert target.read_bytes() == b"before"


def test_what_appears_meanwhile_is_not_overwritten(ship, place):
    target = place / "model.onnx"

    def appear(message: str) -> None:
        if "final file" in message:
            target.write_bytes(b"somebody else's")

    with refused("output-exists", target, kind=UsageError):
        ship(target, progress=appear)
    assert list(place.iterdir()) == [target]
    assert target.read_bytes() == b"somebody else's"


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_writes_both_formats(trained, place):
    done = run_zoo(trained.path, "--onnx", "--torchscript", "--output", place / "bars")
    assert done.exit_code == 0, done.output
    assert {path.name for path in place.iterdir()} == {"bars.onnx", "bars.pt"}
    assert f"Exporting {trained.path}" in done.stderr
    for word in (
        "bars.onnx",
        "bars.pt",
        "MiB",
        "of spread",
        "100.00%",
        "18 of 18 test pictures",
        "zoo predict",
        "zoo verify",
    ):
        assert word in done.stdout
    again = run_zoo(trained.path, "--torchscript", "--output", place / "bars")
    assert isinstance(again.exception, UsageError)


def test_one_place_that_is_taken_stops_the_command_before_it_starts(trained, place, monkeypatch):
    (place / "bars.pt").touch()
    monkeypatch.setattr("zoo.exporting.source.reference_of", lambda *_: pytest.fail("it started"))
    done = run_zoo(trained.path, "--onnx", "--torchscript", "--output", place / "bars")
    assert isinstance(done.exception, UsageError)
    assert "bars.pt" in str(done.exception)


@pytest.mark.usefixtures("ship")
def test_the_newest_run_is_taken_and_named(trained, place, monkeypatch):
    (place / "runs").mkdir()
    (place / "runs" / "mine").symlink_to(trained.path)
    monkeypatch.chdir(place)
    done = run_zoo("--format", "onnx", "--output", "model", "--json")
    assert done.exit_code == 0, done.output
    assert "Exporting runs/mine" in done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["path"], row["format"]) == ("model.onnx", "onnx")
    assert row["bytes"] == (place / "model.onnx").stat().st_size
    assert row["parity"]["top1_agreement"] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), partial(pytest.raises, UsageError, match="--onnx, --torchscript")),
        (("--onnx",), partial(refused, "run-missing", "runs", kind=UsageError)),
        (("--onnx", "--calibration-pictures", "9"), partial(refused, "int8-only", kind=UsageError)),
        (("--onnx", "--accuracy-budget", "2"), partial(refused, "fp32-budget", kind=UsageError)),
    ],
    ids=["format", "run", "calibration", "budget"],
)
def test_wrong_commands(place, monkeypatch, arguments, expected):
    monkeypatch.chdir(place)
    with expected():
        raise run_zoo(*arguments).exception
