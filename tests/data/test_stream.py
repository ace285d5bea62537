"""Batches of one size while pictures come, several at once, in bounded memory, results in order."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Event, Timer

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.artifacts.predictor import BATCH_SIZE, Predictor, load
from zoo.cli import app
from zoo.data import prefetch
from zoo.data.batches import MAX_BATCH_PIXELS, MAX_LATER_PICTURES, batches_by_size
from zoo.data.pictures import FilePictures
from zoo.data.prefetch import TASK_BYTES, as_they_come
from zoo.errors import ArtifactError, TooLittleMemoryError

from ..conftest import draw
from ..refusals import refused


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
    with pytest.raises(ArtifactError, match=r"2 x 2.* division by zero"):
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


def test_few_bytes_of_batches_are_in_flight(model, monkeypatch):
    monkeypatch.setattr("zoo.artifacts.predictor.BATCHES_BUDGET", 3 * blank(BATCH_SIZE).nbytes)
    may_end, taken = Event(), []

    def runtime(images: np.ndarray) -> np.ndarray:
        assert may_end.wait(timeout=30)
        return np.zeros((len(images), 3), np.float32)

    predictor = Predictor(load(model).card, runtime, workers=8)
    Timer(0.2, may_end.set).start()
    with closing(predictor.stream((taken.append(n) or n, picture) for n, picture in enumerate(blank(1000)))) as found:
        next(found)
        assert len(taken) == 4 * BATCH_SIZE  # the fourth is beyond the limit


def test_a_rare_size_waits_no_longer_than_its_share():
    pictures = [blank(1, 7)[0], *blank(1000)]
    seen = 0
    for numbers, batch in batches_by_size(enumerate(pictures), BATCH_SIZE):
        assert len(batch) == len(numbers)
        if 0 in numbers:
            break
        seen += len(numbers)
    assert seen <= MAX_LATER_PICTURES


def test_a_batch_has_few_pixels_or_one_picture():
    sides = [1000, 1500, 3000]
    pictures = [np.broadcast_to(np.uint8(0), (side, side, 3)) for side in sides * 9]
    found = [len(numbers) * batch[0, ..., 0].size for numbers, batch in batches_by_size(enumerate(pictures), 32)]
    assert max(size for size in found if size != 3000**2) <= MAX_BATCH_PIXELS
    assert found.count(3000**2) == 9 and found.count(4 * 1000**2) == 2


def test_pictures_go_alone_where_a_batch_does_not_fit_into_memory(monkeypatch):
    def fail(pictures):
        raise MemoryError

    monkeypatch.setattr(np, "stack", fail)
    assert [(numbers, batch.shape) for numbers, batch in batches_by_size(enumerate(blank(3)), 3)] == [
        ([number], (1, 2, 2, 3)) for number in range(3)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fits_into_memory_alone_is_answered_and_the_rest_is_named(model, workers):
    def runtime(images: np.ndarray) -> np.ndarray:
        if len(images) > 1 or images[0, 0, 0, 0] == 7:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
        return np.zeros((1, 3), np.float32)

    predictor = Predictor(load(model).card, runtime, workers)
    pictures = blank(100)
    pictures[[5, 50]] = 7
    failed: list[int] = []
    answers = predictor.stream(enumerate(pictures), failed=lambda index, error: failed.append(index))
    answered = [number for numbers, _ in answers for number in numbers]
    assert sorted(failed) == [5, 50]
    assert sorted(answered + failed) == [*range(100)]
    with refused("too-little-memory", "2 x 2", kind=TooLittleMemoryError):
        predictor.predict(pictures)


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


def test_heavy_items_wait_for_those_that_run():
    may_end, taken = Event(), []
    with ThreadPoolExecutor(8) as pool:
        items = (taken.append(item) or item for item in range(20))
        work = lambda item: may_end.wait(30) and item  # noqa: E731
        found = as_they_come(pool, work, items, ahead=16, weigh=lambda item: 3, most=10)
        Timer(0.2, may_end.set).start()
        next(found)
        assert len(taken) <= 4  # the fourth makes it 12
        assert sorted([0, *found])[-1] == 19


def test_what_fails_ends_it_and_begins_nothing_more():
    begun: list[int] = []

    def work(item: int) -> float:
        begun.append(item)
        return 1 / item

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(as_they_come(pool, work, range(100), ahead=3))
    assert len(begun) <= 5


def test_small_files_are_decoded_several_at_a_time_and_large_ones_alone(tmp_path, monkeypatch):
    sizes = [100] * 40 + [TASK_BYTES] * 3 + [100] * 3
    paths = [tmp_path / f"{index}" for index in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(bytes(size))
    tasks: list[list[int]] = []

    def collect(coming):
        for task in coming:
            tasks.append([read.args[0] for read in task])
            yield from task

    monkeypatch.setattr(prefetch, "decode_ahead", collect)
    assert len(list(prefetch.decode(FilePictures([*paths, tmp_path / "absent"])))) == len(sizes) + 1
    assert [len(task) for task in tasks] == [16, 16, 9, 1, 1, 4]
    assert list(itertools.chain.from_iterable(tasks)) == [*range(len(sizes) + 1)]
