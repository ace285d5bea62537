"""Files of an artifact come to their place together, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ExportError, UsageError
from zoo.exporting.files import prepared

from ..refusals import refused


def written(target: Path, *names: str, overwrite: bool = True) -> None:
    with prepared(target, overwrite=overwrite) as path:
        for name in names:
            path.with_name(name).write_text(f"new {name}")


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def target(tmp_path) -> Path:
    (tmp_path / "m.onnx").write_text("old")
    (tmp_path / "m.onnx.data").write_text("old weights")
    return tmp_path / "m.onnx"


def test_both_are_replaced(target):
    written(target, "m.onnx.data", "m.onnx")
    assert there(target.parent) == {"m.onnx": "new m.onnx", "m.onnx.data": "new m.onnx.data"}


@pytest.mark.parametrize("fails", ["m.onnx.data", "m.onnx"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_was_there_comes_back(target, monkeypatch, fails, error):
    replace = Path.replace

    def stop(self: Path, place: Path) -> Path:
        if self.parent.name == "new" and self.name == fails:
            raise error
        return replace(self, place)

    before = there(target.parent)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ExportError):
            written(target, "m.onnx.data", "m.onnx")
    assert there(target.parent) == before


def test_two_at_once_do_not_meet(target):
    with prepared(target, overwrite=True) as first:
        first.write_text("first")
        written(target, "m.onnx")
        assert target.read_text() == "new m.onnx"
    assert target.read_text() == "first"
    with refused("output-exists", target, kind=UsageError):
        written(target, "m.onnx", overwrite=False)
    assert len(there(target.parent)) == 2


def test_a_signal_behind_the_last_step_undoes_nothing(target, monkeypatch):
    replace = Path.replace

    def then_stop(self: Path, place: Path) -> None:
        replace(self, place)
        if place == target:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", then_stop)
        with pytest.raises(KeyboardInterrupt):
            written(target, "m.onnx.data", "m.onnx")
    assert there(target.parent) == {"m.onnx": "new m.onnx", "m.onnx.data": "new m.onnx.data"}
