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
from zoo import parity
from zoo.artifacts.predictor import load
from zoo.cli import app
from zoo.cli.export import _agreement, _quantised
from zoo.errors import ParityError, UsageError
from zoo.exporting.pipeline import export
from zoo.parity.references import reference_of
from zoo.registry import registry


@pytest.fixture(scope="module")
def reference(trained) -> parity.Reference:
    return reference_of(trained, "quick")


@pytest.fixture
def no_work(monkeypatch):
    """The classifier does not run over the pictures."""
    for home in ("exporting.pipeline", "parity.references"):
        monkeypatch.setattr(f"zoo.{home}.reference_of", lambda *_: pytest.fail("it started"))


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"run": 123}, r"run cannot be 123\. It takes a path"),
        ({"exporter": 123}, "123 is no name of a format"),
        ({"exporter": ["onnx"]}, "is no name of a format"),
        ({"output": 5}, "output cannot be 5"),
        ({"input": "picture"}, r"input cannot be 'picture'\. It takes one of pixels, tensor"),
        ({"precision": "fp64"}, "precision cannot be 'fp64'.*fp32, fp16, int8"),
        ({"parity": "slow"}, "parity cannot be 'slow'.*quick, full"),
        ({"parity": None}, "parity cannot be None"),
        ({"opset": "18"}, "opset cannot be '18'.*a whole number"),
        ({"opset": True}, "opset cannot be True"),
        ({"external_data": "yes"}, "external_data cannot be 'yes'"),
        ({"precision": "int8", "calibration_method": "foo"}, "calibration_method cannot be 'foo'.*entropy"),
        ({"precision": "int8", "calibration_pictures": 0}, "calibration_pictures cannot be 0"),
        ({"precision": "int8", "calibration_pictures": 1.5}, r"calibration_pictures cannot be 1\.5"),
        ({"precision": "fp16", "accuracy_budget": float("nan")}, "accuracy_budget cannot be nan"),
        ({"precision": "fp16", "accuracy_budget": -1}, "accuracy_budget cannot be -1"),
        ({"calibration_pictures": 9}, "belong to int8"),
        ({"precision": "fp16", "calibration_method": "entropy"}, "belong to int8"),
        ({"accuracy_budget": 2}, "fp32 loses no accuracy"),
        ({"precision": "int8", "external_data": True}, "int8 files are one file"),
        ({"opset": 17}, r"antialiased Resize.*--input tensor"),
        ({"opset": -1}, r"opset -1\. Choose one from 18 to 25\."),
        ({"opset": 3, "input": "tensor"}, r"opset 3\. Choose one from 14 to 25, as far as the operators allow"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_before_any_work(trained, place, asked, reason):
    with pytest.raises(UsageError, match=reason):
        export(**{"run": trained, "output": place / "model", **asked})
    assert list(place.iterdir()) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--opset", "99"), "opset 99.*18 to 25"),
        (("--precision", "int8", "--calibration-pictures", "0"), "calibration_pictures cannot be 0"),
        (("--precision", "fp16", "--accuracy-budget", "nan"), "accuracy_budget cannot be nan"),
    ],
)
def test_the_command_refuses_the_same(trained, arguments, reason):
    done = run_zoo(trained.path, "--onnx", *arguments)
    assert isinstance(done.exception, UsageError)
    with pytest.raises(UsageError, match=reason):
        raise done.exception


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--onnx", "--output", "taken", "--overwrite"), r"'taken\.onnx' is a folder\. Name another"),
        (("--onnx", "--output", "absent/"), "no folder 'absent'"),
        (("--onnx", "--output", "a.PT"), r"a\.PT' names a file in the format torchscript.*--output a$"),
        (("--onnx", "--torchscript", "--output", "a.onnx"), r"in the format onnx, and torchscript.*--output a$"),
        (("--onnx", "--external-data", "--output", "model"), r"'model\.onnx\.data' exists already.*--overwrite"),
    ],
    ids=["folder", "slash", "suffix", "stem", "weights"],
)
def test_places_that_cannot_be(trained, place, monkeypatch, arguments, reason):
    monkeypatch.chdir(place)
    Path("taken.onnx").mkdir()
    Path("model.onnx.data").touch()
    done = run_zoo(trained.path.resolve(), *arguments)
    assert isinstance(done.exception, UsageError)
    with pytest.raises(UsageError, match=reason):
        raise done.exception
    assert sorted(path.name for path in place.iterdir()) == ["model.onnx.data", "taken.onnx"]


def test_a_slash_at_the_end_means_a_folder(trained, reference, place):
    artifact = export(trained, "pt2", f"{place}/", input="tensor", reference=reference)
    assert list(place.iterdir()) == [artifact.path] == [place / "model-tensor.pt2"]


def test_weights_beside_a_file_belong_to_it(trained, reference, place):
    stem, data = place / "model", place / "model.onnx.data"
    done = run_zoo(trained.path, "--onnx", "--external-data", "--output", stem, "--json")
    (row,) = json.loads(done.stdout)
    assert row["weights"] == str(data)
    assert row["bytes"] == (place / "model.onnx").stat().st_size + data.stat().st_size

    data.write_bytes(b"of another day")
    artifact = export(trained, "onnx", stem, external_data=True, overwrite=True, reference=reference)
    assert artifact.weights == data
    load(artifact.path)

    artifact = export(trained, "onnx", stem, overwrite=True, reference=reference)
    assert artifact.weights is None
    assert list(place.iterdir()) == [artifact.path]

    data.write_bytes(b"somebody else's")
    export(trained, "onnx", stem, overwrite=True, reference=reference)
    assert data.read_bytes() == b"somebody else's"


def test_the_command_names_the_file_of_weights(trained, place):
    done = run_zoo(trained.path, "--onnx", "--external-data", "--output", place / "model")
    assert f"weights: {place / 'model.onnx.data'} (keep it beside model.onnx)" in done.stdout


def test_progress_shows_what_the_command_shows(trained, reference, place, capsys):
    export(trained, "onnx", place / "quiet", reference=reference)
    assert capsys.readouterr() == ("", "")
    export(trained, "onnx", place / "model", progress=True, reference=reference)
    shown = capsys.readouterr()
    assert shown.err.strip() == f"Exporting {trained.path}" == run_zoo(trained.path, "--onnx").stderr.strip()
    assert shown.out == ""
    (trained.path / "export/model.onnx").unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_a_library_swallows_ends_the_export(trained, place, monkeypatch, number):
    def swallows(*_):
        with suppress(BaseException):
            signal.raise_signal(number)

    def never(run, name, output, progress, **_):
        progress("writing")
        pytest.fail("it went on")

    before = signal.getsignal(number)
    for home in ("exporting.pipeline", "parity.references"):
        monkeypatch.setattr(f"zoo.{home}.reference_of", swallows)
    monkeypatch.setattr(zoo.exporting.pipeline, "export", never)
    done = run_zoo(trained.path, "--onnx", "--output", place / "m")
    assert done.exit_code == 128 + number
    assert done.stderr.endswith("Interrupted.\n")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("end", [ParityError("It does not agree.", "Report it."), KeyboardInterrupt(), SystemExit(143)])
def test_what_was_finished_before_a_failure_is_named(trained, place, monkeypatch, end):
    def one_then_none(run, name, output, **_):
        if name == "pt2":
            raise end
        return SimpleNamespace(path=Path(f"{output}.{name}"))

    for home in ("exporting.pipeline", "parity.references"):
        monkeypatch.setattr(f"zoo.{home}.reference_of", lambda *_: None)
    monkeypatch.setattr(zoo.exporting.pipeline, "export", one_then_none)
    done = run_zoo(trained.path, "--onnx", "--torchscript", "--pt2", "--output", place / "m")
    assert f"Finished and checked so far: {place / 'm.onnx'}, {place / 'm.torchscript'}\n" in done.stderr
    assert "so far" not in run_zoo(trained.path, "--pt2", "--output", place / "m").stderr
    assert done.stdout == ""


def test_near_ties_and_gains_are_said():
    assert _agreement({"top1_agreement": 1.0, "near_ties": 0}) == "100.00%"
    assert _agreement({"top1_agreement": 1.0, "near_ties": 1}) == "100.00% (1 near tie aside)"
    assert _agreement({"top1_agreement": 0.995, "near_ties": 3}) == "99.50% (3 near ties aside)"
    facts = {"float_layers": [], "layers": 9, "budget_points": 1.0}
    assert "it gains 0.25 points" in _quantised({**facts, "lost_points": -0.25})
    assert "it loses 0.25 points" in _quantised({**facts, "lost_points": 0.25})
    assert "it loses 0.00 points" in _quantised({**facts, "lost_points": -0.001})


def test_a_format_of_a_plugin_may_check_nothing():
    assert registry().exporter("pt2").spec.check(None) is None
