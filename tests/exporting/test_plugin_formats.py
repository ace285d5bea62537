"""A plugin's format that fails names its distribution and its authors. Built-in formats keep their remedies."""

from __future__ import annotations

import dataclasses
import json

import pytest

from zoo.artifacts.predictor import load
from zoo.errors import ArtifactError, ExportError
from zoo.exporting.pipeline import export
from zoo.parity.refusal import LateError, RefusedError
from zoo.registry import registry

from ..refusals import refused

BROKEN = ValueError("no route")


def fail(*_):
    raise BROKEN


@pytest.fixture(scope="module")
def reference(trained):
    from zoo.exporting.source import RunSource

    return RunSource(trained).reference("quick", lambda _: None)


@pytest.fixture
def ship(trained, reference, place):
    """Exports the run into an empty folder."""
    return lambda name: export(trained, name, place / "model", reference=reference)


@pytest.fixture
def foreign(monkeypatch):
    """Makes the built-in torchscript the format of a plugin, with some of its functions exchanged."""
    real = registry().exporter("torchscript")

    def make(**changes):
        spec = dataclasses.replace(real.spec, **changes)
        entry = dataclasses.replace(
            real, name="mine", distribution="zoo-mine", version="1.2", builtin=False, resolve=lambda: spec
        )
        monkeypatch.setattr(type(registry()), "exporter", lambda self, name: entry)
        monkeypatch.setattr(type(registry()), "exporter_for", lambda self, path: entry)

    return make


@pytest.fixture
def metadata(tmp_path, monkeypatch):
    """Installs metadata of zoo-mine."""

    def install(lines: str = "", direct_url: dict | None = None) -> None:
        folder = tmp_path / "site" / "zoo_mine-1.2.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-mine\nVersion: 1.2\n{lines}")
        if direct_url:
            (folder / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(folder.parent)

    return install


def test_a_function_that_raises_is_named_with_its_authors(ship, place, foreign, metadata):
    metadata("Project-URL: Homepage, https://example.org\nProject-URL: Bug Tracker, https://example.org/bugs\n")
    foreign(write=fail)
    with refused(
        "format-failed",
        "The format 'mine' of zoo-mine 1.2 failed: its function 'write' raised ValueError: no route.",
        "Report it to the authors of zoo-mine 1.2 (https://example.org/bugs), or use another format.",
        kind=ExportError,
    ) as caught:
        ship("mine")
    assert caught.value.__cause__ is BROKEN
    assert list(place.iterdir()) == []


def test_an_editable_install_is_corrected(ship, foreign, metadata, tmp_path):
    metadata(direct_url={"url": (tmp_path / "my code").as_uri(), "dir_info": {"editable": True}})
    foreign(write=fail)
    with refused("format-failed", f"Correct the exporter 'mine' in {tmp_path / 'my code'}, or use another"):
        ship("mine")


def test_what_a_format_says_itself_stays(ship, foreign):
    def refuse(*_):
        raise ExportError("Too deep.", "Take a smaller one.", code="own") from BROKEN

    foreign(write=refuse)
    with refused("own", "Too deep. Take a smaller one.") as caught:
        ship("mine")
    assert caught.value.__cause__ is BROKEN


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RefusedError("its logits differ"), "Report it to the authors of zoo-mine 1.2, or use another format."),
        (RefusedError("its logits differ", "fp16"), "Export it in fp32."),
        (LateError("gave no answer", 3), "--time-limit"),
    ],
)
@pytest.mark.usefixtures("artifacts_here")
def test_a_file_that_diverges_names_the_authors(ship, foreign, monkeypatch, error, remedy):
    def diverge(*_, **__):
        raise error

    foreign()
    monkeypatch.setattr("zoo.parity.check", diverge)
    with refused(error.code, remedy):
        ship("mine")


@pytest.mark.usefixtures("artifacts_here")
def test_a_built_in_format_keeps_its_remedy(ship, monkeypatch):
    def diverge(*_, **__):
        raise RefusedError("its logits differ")

    monkeypatch.setattr("zoo.parity.check", diverge)
    with refused("parity", "Try another format, or report the backbone"):
        ship("torchscript")


def test_a_file_that_its_format_cannot_open_names_the_authors(tmp_path, foreign):
    foreign(read_card=fail)
    (tmp_path / "model.pt").write_bytes(b"something")
    with refused("format-failed", "its function 'read_card' raised", "authors of zoo-mine", kind=ArtifactError):
        load(tmp_path / "model.pt")
