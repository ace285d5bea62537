"""Batches of one size while pictures come, several at once, in bounded memory, results in order."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.artifact import BATCH_SIZE, Predictor, load
from zoo.cli import app
from zoo.data.stream import MAX_LATER_PICTURES, TASK_BYTES, _tasks, as_they_come, batches_by_size
from zoo.data.types import FilePictures
from zoo.errors import ArtifactError
from zoo.exporting import export

from .conftest import draw


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory) -> Path:
    return export(trained, "onnx", tmp_path_factory.mktemp("stream") / "model.onnx").path


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Pictures of three sizes that alternate, one of a size of its own in front, one unreadable among them."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    sizes = [(24, 24), (24, 30), (36, 24)]
    for index in range(400):
        size = (50, 10) if index == 0 else sizes[index % 3]
        Image.fromarray(draw(index % 3, rng, size)).save(folder / f"{index:03}.png", compress_level=0)
    (folder / "200.png").write_bytes(b"no picture")
    return folder


def blank(count: int, side: int = 2) -> np.ndarray:
    return np.zeros((count, side, side, 3), np.uint8)


def test_workers_change_nothing_but_the_time(model):
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in [(24, 24), (9, 30), (24, 24), (1, 1)] * 30]
    alone, together = load(model), load(model, workers=3)
    np.testing.assert_allclose(together.logits(pictures), alone.logits(pictures), atol=1e-5)


def test_batches_run_at_once(model):
    meeting = Barrier(2)

    def runtime(images: np.ndarray) -> np.ndarray:
        meeting.wait(timeout=30)
        return np.zeros((len(images), 3), np.float32)

    assert Predictor(load(model).card, runtime, workers=2).logits(blank(2 * BATCH_SIZE)).shape == (64, 3)


def test_a_worker_that_fails_is_an_artifact_error(model):
    predictor = Predictor(load(model).card, lambda images: 1 / 0, workers=2)
    with pytest.raises(ArtifactError, match="fails on pictures of 2 x 2: division by zero"):
        predictor.logits(blank(200))


def test_pictures_are_taken_no_faster_than_they_are_classified(model):
    taken = itertools.count()
    predictor = Predictor(load(model).card, lambda images: np.zeros((len(images), 3), np.float32), workers=2)
    answered = 0
    for numbers, _ in predictor.stream((next(taken), picture) for picture in blank(5000)):
        answered += len(numbers)
        ahead = next(taken) - answered
        taken = itertools.count(answered + ahead)
        assert ahead <= 6 * BATCH_SIZE
    assert answered == 5000


def test_a_rare_size_waits_no_longer_than_its_share():
    pictures = [blank(1, 7)[0], *blank(1000)]
    seen = 0
    for numbers, batch in batches_by_size(enumerate(pictures), BATCH_SIZE):
        assert len(batch) == len(numbers)
        if 0 in numbers:
            break
        seen += len(numbers)
    assert seen <= MAX_LATER_PICTURES


def test_every_picture_is_in_one_batch():
    rng = np.random.default_rng(0)
    pictures = [np.full((1 + n % 5, 1 + n % 3, 3), n % 251, np.uint8) for n in rng.integers(0, 10_000, 2000)]
    found: list[int] = []
    for numbers, batch in batches_by_size(enumerate(pictures), 8):
        assert 1 <= len(numbers) <= 8
        np.testing.assert_array_equal(batch, np.stack([pictures[number] for number in numbers]))
        found += numbers
    assert sorted(found) == list(range(2000))


def test_many_files_come_out_in_order_with_the_unreadable_named(model, many):
    done = CliRunner().invoke(app, ["predict", str(model), str(many), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    files = [path for path in sorted(many.iterdir()) if path.stem != "200"]
    assert [row["file"] for row in found] == list(map(str, files))
    assert "200.png' cannot be read" in done.stderr
    expected = load(model).predict(files)
    assert [row["label"] for row in found] == [prediction.label for prediction in expected]
    assert [row["probability"] for row in found] == pytest.approx([one.probability for one in expected], abs=1e-5)


def start(model: Path, folder: Path) -> subprocess.Popen[str]:
    """`zoo predict` over far more pictures than its caller waits for; its first rows have come."""
    command = [sys.executable, "-m", "zoo", "predict", model, *[folder] * 50, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "[\n"
    assert '"file"' in process.stdout.readline()
    return process


def test_ctrl_c_ends_it(model, many):
    process = start(model, many)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_a_reader_that_leaves_early_ends_it(model, many):
    process = start(model, many)
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_slow_item_holds_no_other_up():
    first_may_end = Event()

    def work(item: int) -> int:
        if item == 0:
            assert first_may_end.wait(timeout=30)
        return item

    taken: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        found = as_they_come(pool, work, (taken.append(item) or item for item in range(20)), ahead=4)
        first = [next(found) for _ in range(10)]
        assert len(taken) <= 16  # ten that came, those that ended with the tenth, four at work or waiting
        first_may_end.set()
        rest = list(found)
    assert 0 not in first
    assert sorted(first + rest) == [*range(20)]


def test_what_fails_ends_it_and_begins_nothing_more():
    begun: list[int] = []

    def work(item: int) -> float:
        begun.append(item)
        return 1 / item

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(as_they_come(pool, work, range(100), ahead=3))
    assert len(begun) <= 5


def test_small_files_are_decoded_several_at_a_time_and_large_ones_alone(tmp_path):
    sizes = [100] * 40 + [TASK_BYTES] * 3 + [100] * 3
    paths = [tmp_path / f"{index}" for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(bytes(size))
    tasks = list(_tasks(FilePictures([*paths, tmp_path / "absent"])))
    assert [len(task) for task in tasks] == [16, 16, 9, 1, 1, 4]
    assert list(itertools.chain.from_iterable(tasks)) == [*range(len(sizes) + 1)]
