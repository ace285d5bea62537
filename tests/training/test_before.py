"""What would end a training after its last epoch is found before its first step."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from zoo.errors import DataError, TrainingError
from zoo.images import complete
from zoo.images.complete import seems_complete
from zoo.training import before
from zoo.training import train as training

from ..conftest import write_folder
from ..watch import train

Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A small dataset with a test split; a training of it that takes a step fails."""
    monkeypatch.setattr(training, "decode_splits", lambda *_, **__: pytest.fail("the training begins"))
    return write_folder(tmp_path / "data", {"train": 4, "val": 2, "test": 10})


def damage(path, kind):
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "gif":  # whose end is not looked at
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)).save(path, "GIF")
        path.write_bytes(path.read_bytes()[:-300])
    else:
        path.write_bytes({"empty": b"", "text": b"no picture"}[kind])


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "gif"])
def test_unreadable_test_pictures_are_found_before_the_first_step(data, tmp_path, kind):
    damage(data / "test" / "bar" / "003.png", kind)
    with pytest.raises(DataError, match=r"1 of 30 pictures.*003.png"):
        train(data, tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_test_split_without_readable_pictures_is_refused_before_the_first_step(data, tmp_path):
    for path in data.glob("test/*/*"):
        damage(path, "text")
    with pytest.raises(TrainingError, match="No test picture can be read"):
        train(data, tmp_path, max_unreadable=1.0)


@pytest.mark.usefixtures("no_plots")
def test_a_few_are_said_and_the_training_goes_on(tmp_path, capsys):
    data = write_folder(tmp_path / "data", {"train": 4, "val": 2, "test": 10})
    damage(data / "test" / "bar" / "003.png", "truncated")
    train(data, tmp_path, max_unreadable=0.1, progress=True)
    said = capsys.readouterr().err
    assert "1 of 30 test pictures cannot be read" in said
    assert said.index("1 of 30 test pictures") < said.index("Decoded pictures")


@pytest.mark.parametrize(("suffix", "is_sure"), [("jpg", True), ("png", True), ("gif", False), ("bmp", False)])
def test_whole_jpeg_and_png_files_are_not_decoded(tmp_path, monkeypatch, suffix, is_sure):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    monkeypatch.setattr("zoo.images.read.upright_pixels", lambda *_: pytest.fail("it decodes"))
    assert seems_complete(path) is is_sure
    path.write_bytes(path.read_bytes() + b"more")
    assert seems_complete(path) is is_sure
    whole = path.read_bytes()
    for end in range(len(whole) // 2, len(whole) - 8, 97):
        path.write_bytes(whole[:end])
        assert not seems_complete(path)
    assert complete.TAIL_BYTES >= 1024


def test_a_full_disk_is_found_before_the_first_step(data, tmp_path, monkeypatch):
    monkeypatch.setattr(before.shutil, "disk_usage", lambda _: Disk(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(TrainingError, match=r"976\.\d KiB free.*--output"):
        train(data, tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_plots")
def test_the_needed_space_is_not_more_than_a_run_takes(tmp_path, monkeypatch):
    """A bound that refuses a disk on which a training would have ended well is a fault too."""
    monkeypatch.setattr(before, "PLOTS_BYTES", 0)
    needed = []
    monkeypatch.setattr(before, "size_in_words", lambda number: needed.append(number) or str(number))
    data = write_folder(tmp_path / "data", {"train": 4, "val": 2})
    monkeypatch.setattr(before.shutil, "disk_usage", lambda _: Disk(1, 1, 0))
    with pytest.raises(TrainingError):
        train(data, tmp_path)
    monkeypatch.undo()
    run = train(data, tmp_path)
    taken = sum((run.path / name).stat().st_size for name in ("best.safetensors", "last.ckpt"))
    assert 0.3 * taken < needed[1] <= taken
