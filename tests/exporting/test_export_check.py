"""What an export is asked for is checked before any work, from Python as on the command line."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import zoo.exporting.pipeline
from zoo.artifacts.predictor import load
from zoo.cli import app
from zoo.errors import DataError, UsageError
from zoo.exporting.pipeline import export
from zoo.registry import registry

from ..refusals import refused

pytestmark = pytest.mark.usefixtures("artifacts_here")


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"run": 123}, ("impossible-option", "run cannot be 123", "a path")),
        ({"exporter": 123}, ("impossible-option", "123 is not the name of a format")),
        ({"exporter": ["onnx"]}, ("impossible-option", "['onnx'] is not the name of a format")),
        ({"output": 5}, ("impossible-option", "output cannot be 5")),
        ({"input": "picture"}, ("impossible-option", "input cannot be 'picture'", "one of pixels, tensor")),
        ({"precision": "fp64"}, ("impossible-option", "precision cannot be 'fp64'", "fp32, fp16, int8")),
        ({"parity": "slow"}, ("impossible-option", "parity cannot be 'slow'", "quick, full")),
        ({"parity": None}, ("impossible-option", "parity cannot be None")),
        ({"opset": "18"}, ("impossible-option", "opset cannot be '18'", "a whole number")),
        ({"opset": True}, ("impossible-option", "opset cannot be True")),
        ({"external_data": "yes"}, ("impossible-option", "external_data cannot be 'yes'")),
        (
            {"precision": "int8", "calibration_method": "foo"},
            ("impossible-option", "calibration_method cannot be 'foo'", "entropy"),
        ),
        ({"precision": "int8", "calibration_pictures": 0}, ("impossible-option", "calibration_pictures cannot be 0")),
        (
            {"precision": "int8", "calibration_pictures": 1.5},
            ("impossible-option", "calibration_pictures cannot be 1.5"),
        ),
        (
            {"precision": "fp16", "accuracy_budget": float("nan")},
            ("impossible-option", "accuracy_budget cannot be nan"),
        ),
        ({"precision": "fp16", "accuracy_budget": -1}, ("impossible-option", "accuracy_budget cannot be -1")),
        ({"calibration_pictures": 9}, ("int8-only", "--precision int8")),
        ({"precision": "fp16", "calibration_method": "entropy"}, ("int8-only", "--precision int8")),
        ({"accuracy_budget": 2}, ("fp32-budget", "--accuracy-budget")),
        ({"precision": "int8", "external_data": True}, ("int8-one-file", "--external-data")),
        ({"opset": 14}, ("opset-unsupported", "opset 14", "15 to 25")),
        ({"opset": -1}, ("opset-unsupported", "opset -1", "15 to 25")),
        ({"opset": 3, "input": "tensor"}, ("opset-unsupported", "opset 3", "14 to 25")),
    ],
    ids=str,
)
def test_wrong_values_are_refused_before_any_work(trained, place, asked, refusal):
    with refused(*refusal, kind=UsageError):
        export(**{"run": trained, "output": place / "model", **asked})
    assert list(place.iterdir()) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--opset", "99"), ("opset-unsupported", "opset 99", "15 to 25")),
        (
            ("--precision", "int8", "--calibration-pictures", "0"),
            ("impossible-option", "calibration_pictures cannot be 0"),
        ),
        (("--precision", "fp16", "--accuracy-budget", "nan"), ("impossible-option", "accuracy_budget cannot be nan")),
    ],
)
def test_the_command_refuses_the_same(trained, arguments, refusal):
    with refused(*refusal, kind=UsageError):
        raise run_zoo(trained.path, "--onnx", *arguments).exception


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--onnx", "--output", "taken", "--overwrite"), ("output-is-folder", "'taken.onnx'", "another --output")),
        (("--onnx", "--output", "absent/"), ("missing-folder", "'absent'")),
        (
            ("--onnx", "--output", "a.PT"),
            ("suffix-of-another-format", "'a.PT'", "format torchscript", "format is onnx", "--output a"),
        ),
        (
            ("--onnx", "--torchscript", "--output", "a.onnx"),
            ("suffix-of-another-format", "format onnx", "format is torchscript", "--output a"),
        ),
        (("--onnx", "--external-data", "--output", "model"), ("output-exists", "'model.onnx.data'", "--overwrite")),
    ],
    ids=["folder", "slash", "suffix", "stem", "weights"],
)
def test_places_that_cannot_be(trained, place, monkeypatch, arguments, refusal):
    monkeypatch.chdir(place)
    Path("taken.onnx").mkdir()
    Path("model.onnx.data").touch()
    with refused(*refusal, kind=UsageError) as caught:
        raise run_zoo(trained.path.resolve(), *arguments).exception
    if "suffix" in caught.value.code:
        assert caught.value.remedy.endswith("--output a")
    assert sorted(path.name for path in place.iterdir()) == ["model.onnx.data", "taken.onnx"]


def test_a_slash_at_the_end_means_a_folder(trained, reference, place):
    artifact = export(trained, "pt2", f"{place}/", input="tensor", reference=reference)
    assert list(place.iterdir()) == [artifact.path] == [place / "model-tensor.pt2"]


TENSOR = ("--input", "tensor")  # without the preprocessing, an ONNX file is written in a third of the time


def test_weights_beside_a_file_belong_to_it(trained, reference, place):
    stem, data = place / "model", place / "model.onnx.data"
    done = run_zoo(trained.path, "--onnx", "--external-data", *TENSOR, "--output", stem, "--json")
    (row,) = json.loads(done.stdout)
    assert row["weights"] == str(data)
    assert row["bytes"] == (place / "model.onnx").stat().st_size + data.stat().st_size

    data.write_bytes(b"of another day")
    artifact = export(trained, "onnx", stem, external_data=True, overwrite=True, input="tensor", reference=reference)
    assert artifact.weights == data
    load(artifact.path)

    artifact = export(trained, "onnx", stem, overwrite=True, input="tensor", reference=reference)
    assert artifact.weights is None
    assert list(place.iterdir()) == [artifact.path]

    data.write_bytes(b"somebody else's")
    export(trained, "onnx", stem, overwrite=True, input="tensor", reference=reference)
    assert data.read_bytes() == b"somebody else's"


def test_the_command_names_the_file_of_weights(trained, place):
    done = run_zoo(trained.path, "--onnx", "--external-data", *TENSOR, "--output", place / "model")
    assert f"weights: {place / 'model.onnx.data'} (keep it beside model.onnx)" in done.stdout


def test_progress_shows_what_the_command_shows(trained, reference, place, capsys):
    export(trained, "onnx", place / "quiet", input="tensor", reference=reference)
    assert capsys.readouterr() == ("", "")
    export(trained, "onnx", place / "model", progress=True, input="tensor", reference=reference)
    shown = capsys.readouterr()
    assert shown.err.strip() == f"Exporting {trained.path}" == run_zoo(trained.path, "--onnx", *TENSOR).stderr.strip()
    assert shown.out == ""
    (trained.path / "export/model-tensor.onnx").unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallows_ends_the_export(trained, place, monkeypatch, number):
    def swallows(*_):
        with suppress(BaseException):
            signal.raise_signal(number)

    def never(run, name, output, progress, **_):
        progress("writing")
        pytest.fail("it went on")

    before = signal.getsignal(number)
    monkeypatch.setattr("zoo.exporting.source.reference_of", swallows)
    monkeypatch.setattr(zoo.exporting.pipeline, "export", never)
    done = run_zoo(trained.path, "--onnx", "--output", place / "m")
    assert done.exit_code == 128 + number
    assert done.stderr.endswith("Interrupted.\n")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("end", [DataError("It is missing.", "Restore it."), KeyboardInterrupt(), SystemExit(143)])
def test_what_was_finished_before_a_failure_is_named(trained, place, monkeypatch, end):
    def one_then_none(run, name, output, **_):
        if name == "pt2":
            raise end
        return SimpleNamespace(path=Path(f"{output}.{name}"))

    monkeypatch.setattr("zoo.exporting.source.reference_of", lambda *_: None)
    monkeypatch.setattr(zoo.exporting.pipeline, "export", one_then_none)
    done = run_zoo(trained.path, "--onnx", "--torchscript", "--pt2", "--output", place / "m")
    assert f"Finished and checked so far: {place / 'm.onnx'}, {place / 'm.torchscript'}\n" in done.stderr
    assert "so far" not in run_zoo(trained.path, "--pt2", "--output", place / "m").stderr
    assert done.stdout == ""


@pytest.fixture
def printed(trained, place, monkeypatch):
    """What the command says of an int8 file with such findings."""
    monkeypatch.setattr("zoo.exporting.source.reference_of", lambda *_: None)

    def say(agreement: float, near_ties: int, lost_points: float) -> str:
        (place / "m.onnx").touch()
        accuracy = {"classifier": 1.0, "artifact": 1.0}
        report = {"top1_agreement": agreement, "near_ties": near_ties, "max": 0.1, "accuracy": accuracy, "covered": ""}
        facts = {"float_layers": [], "layers": 9, "budget_points": 1.0, "lost_points": lost_points}
        card = SimpleNamespace(precision="int8", examples=(), exported=facts)
        found = SimpleNamespace(path=place / "m.onnx", format="onnx", weights=None, report=report, card=card)
        monkeypatch.setattr(zoo.exporting.pipeline, "export", lambda *_, **__: found)
        return run_zoo(trained.path, "--onnx", "--output", place / "m", "--overwrite").stdout

    return say


def test_near_ties_and_gains_are_said(printed):
    gains, loses, nothing = printed(1.0, 0, -0.25), printed(1.0, 1, 0.25), printed(0.995, 3, -0.001)
    assert "100.00%" in gains
    assert "near tie" not in gains
    assert "100.00% (1 near tie " in loses
    assert "99.50% (3 near ties " in nothing
    assert "gains 0.25 points" in gains
    assert "loses 0.25 points" in loses
    assert "loses 0.00 points" in nothing


def test_a_format_of_a_plugin_may_check_nothing():
    assert registry().exporter("pt2").spec.check(None) is None
