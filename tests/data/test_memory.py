"""However large the pictures, memory is bounded; a picture that does not fit into it costs that picture."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.audit import scan
from zoo.data import workers
from zoo.data.memory_budget import DECODE_BUDGET, MemoryBudget
from zoo.data.pictures import ArrayPictures
from zoo.data.prefetch import BATCHES_BUDGET
from zoo.data.sources import FileSource
from zoo.data.types import Dataset, Split
from zoo.errors import TooLittleMemoryError
from zoo.evaluation.evaluation import classifier_stream
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess_numpy import LARGE_PIXELS

from ..conftest import draw
from ..refusals import refused

CHILD = Path(__file__).with_name("memory_child.py")
LARGE = (5472, 3648)  # 20 megapixels
GIANT = (11_580, 11_580)  # just what `read_picture` takes: 402 MB, and 536 more while it is decoded
ROOM_MIB = 700  # not enough for the giant
LIMIT = 1.5e9
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and peaks as Linux has them")


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A JPEG of 20 megapixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    small = Image.fromarray(draw(0, np.random.default_rng(0), (228, 342)))
    small.resize(LARGE, Image.Resampling.BILINEAR).save(path)
    return path


@pytest.fixture(scope="module")
def giant(tmp_path_factory) -> Path:
    """A PNG of 134 megapixels in half a megabyte."""
    path = tmp_path_factory.mktemp("giant") / "giant.png"
    Image.new("RGB", GIANT, (90, 120, 30)).save(path)
    return path


@pytest.fixture
def folder(giant, tmp_path) -> Path:
    """Two classes of 20 small pictures, among which the giant stands."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("bar", "line")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(20):
            Image.fromarray(draw(label, rng)).save(tmp_path / "data" / name / f"{index:03}.png")
    shutil.copy(giant, tmp_path / "data" / "bar" / "005-giant.png")
    return tmp_path / "data"


def run(tmp_path, *command, cores=2, mebibytes=0) -> tuple[subprocess.CompletedProcess[str], int]:
    """The process that ended, and its peak resident set in bytes."""
    peak = tmp_path / "peak"
    done = subprocess.run(
        [sys.executable, CHILD, str(cores), str(mebibytes), peak, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        # Each arena of glibc's reserves 64 MiB of addresses, which count where memory is limited.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"} if mebibytes else None,
    )
    assert peak.exists(), done.stderr
    return done, int(peak.read_text())


def photos(photo: Path, tmp_path: Path, count: int) -> Path:
    (tmp_path / "photos").mkdir()
    for index in range(count):
        (tmp_path / "photos" / f"{index:02}.jpg").symlink_to(photo)
    return tmp_path / "photos"


def test_eight_cores_hold_few_large_photos(model, photo, tmp_path):
    done, peak = run(tmp_path, "predict", model, photos(photo, tmp_path, 10), "--json", cores=8)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 10
    assert peak < DECODE_BUDGET + BATCHES_BUDGET + 400e6


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2, 8])
def test_predict_stays_within_its_limit(model, photo, tmp_path, cores):
    done, peak = run(tmp_path, "predict", model, photos(photo, tmp_path, 32), "--json", cores=cores)
    assert done.returncode == 0, done.stderr
    assert peak < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "evaluate"])
def test_other_commands_stay_within_it(trained, model, photo, tmp_path, command):
    data = tmp_path / "data"
    for name in ("bar", "line", "slope"):
        photos(photo, tmp_path, 8).rename(tmp_path / name)
        data.mkdir(exist_ok=True)
        (tmp_path / name).rename(data / name)
    words = ["check", data] if command == "check" else ["evaluate", model, data, "--report", tmp_path / "report.html"]
    done, peak = run(tmp_path, *words, cores=8)
    assert done.returncode in {0, 1}, done.stderr
    assert "Traceback" not in done.stderr
    assert peak < LIMIT


@pytest.mark.parametrize("cores", [1, 2])
def test_predict_goes_on_without_the_giant(model, folder, tmp_path, cores):
    done, _ = run(tmp_path, "predict", model, folder, "--json", cores=cores, mebibytes=ROOM_MIB)
    assert done.returncode == 1
    files = sorted(str(path) for path in folder.rglob("*.png") if "giant" not in path.name)
    assert [row["file"] for row in json.loads(done.stdout)] == files
    assert "005-giant.png' cannot be read: there is not enough memory for it." in done.stderr
    assert "1 of 41 pictures could not be read." in done.stderr


def test_check_goes_on_without_the_giant(folder, tmp_path):
    done, _ = run(tmp_path, "check", folder, "--json", "--output", tmp_path / "report", mebibytes=ROOM_MIB)
    assert "Traceback" not in done.stderr
    facts = json.loads(done.stdout)
    assert facts["splits"]["train"]["unreadable"] == 1
    assert "there is not enough memory for it" in done.stdout
    assert (tmp_path / "report" / "check.png").exists()


def test_train_goes_on_without_the_giant(folder, tmp_path):
    done, _ = run(
        tmp_path,
        *("train", "tiny", folder, "--epochs", "1", "--image-size", "24", "--batch-size", "8", "--augment", "none"),
        *("--max-unreadable", "0.1", "--output", tmp_path / "run"),
        mebibytes=ROOM_MIB,
    )
    assert done.returncode == 0, done.stderr
    assert "there is not enough memory for it" in done.stderr
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 1


def test_a_picture_that_check_has_no_memory_for_is_unreadable(monkeypatch):
    module = sys.modules["zoo.audit.scan"]
    seen = itertools.count()
    grey_copy = module.grey_copy

    def fail_once(picture):
        if next(seen) == 1:
            raise MemoryError
        return grey_copy(picture)

    monkeypatch.setattr(module, "grey_copy", fail_once)
    split = Split(ArrayPictures(np.zeros((3, 100, 100), np.uint8)), np.array([0, 1, 0]))
    found = scan(Dataset(classes=("a", "b"), train=split), lambda _: None)
    assert found.readable.tolist() == [True, False, True]
    assert list(found.unreadable) == [1] and "there is not enough memory for it" in found.unreadable[1]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_training_tries_a_picture_again_alone(tmp_path, error):
    class Failing(workers.Resize):
        tries = 0

        def __call__(self, picture):
            self.tries += 1
            if self.tries <= self.fails:
                raise error
            return super().__call__(picture)

    path = tmp_path / "a.png"
    Image.fromarray(draw(0, np.random.default_rng(0))).save(path)
    resize = Failing(PreprocessSpec(image_size=8))
    resize.fails = 1
    budget = MemoryBudget(DECODE_BUDGET)
    (row,) = workers.read_resized(FileSource(path), (resize,), budget)
    assert row.shape == (8, 8, 3) and resize.tries == 2
    resize.fails = 9
    with refused("too-little-memory", "a.png'", kind=TooLittleMemoryError):
        workers.read_resized(FileSource(path), (resize,), budget)
    budget.expect(sys.maxsize)  # a task that must not wait gets all of it only if nothing is held
    assert budget.ask(sys.maxsize, budget.limit)


def test_training_decodes_no_more_at_once_than_its_budget(tmp_path):
    budget = MemoryBudget(2 * workers.RESIZE_BYTES_PER_PIXEL * 50 * 50)
    running, lock, most = [], threading.Lock(), []

    class Watched(workers.Resize):
        def __call__(self, picture):
            with lock:
                running.append(1)
                most.append(len(running))
            time.sleep(0.01)
            with lock:
                running.pop()
            return super().__call__(picture)

    path = tmp_path / "a.png"
    Image.new("RGB", (50, 50)).save(path)
    resize = Watched(PreprocessSpec(image_size=8))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: workers.read_resized(FileSource(path), (resize,), budget), range(24)))
    assert max(most) == 2


def test_a_large_picture_is_evaluated_without_a_float_copy(trained, monkeypatch):
    side = math.isqrt(LARGE_PIXELS) + 1
    coarse = Image.fromarray(draw(2, np.random.default_rng(0), (48, 48)))
    picture = np.array(coarse.resize((side, side), Image.Resampling.BILINEAR))
    classifier = trained.classifier().eval()
    with torch.inference_mode():
        expected = classifier(torch.from_numpy(picture)[None]).numpy()
    monkeypatch.setattr(classifier.preprocess, "resize", lambda images: pytest.fail("torch resizes it"))
    ((indices, logits),) = classifier_stream(classifier, torch.device("cpu"))([(7, picture)])
    assert indices == [7]
    np.testing.assert_allclose(logits, expected, atol=1e-3)


def test_training_resizes_a_large_picture_as_torch_does():
    side = math.isqrt(LARGE_PIXELS) + 1
    coarse = Image.fromarray(draw(2, np.random.default_rng(0), (48, 48)))
    picture = np.array(coarse.resize((side, side), Image.Resampling.BILINEAR))
    resize = workers.Resize(PreprocessSpec(image_size=24))
    expected = resize.module.resize(torch.from_numpy(picture)[None])[0]
    resize.module = None  # not used
    torch.testing.assert_close(resize(picture), expected, atol=1e-2, rtol=0)
