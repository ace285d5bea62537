"""The decoded pictures that runs share, and what may happen to them."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image, ImageFile
from typer.testing import CliRunner

from zoo.cli import app
from zoo.cli import main as zoo_main
from zoo.data import FilePictures, Split
from zoo.data import cache as pixel_cache
from zoo.data.decoded_split import make_stores
from zoo.data.decoding import Budgets
from zoo.data.pixels import stamps
from zoo.data.sources import FileSource
from zoo.data.stamps import stamp
from zoo.progress import Reporter
from zoo.training.feature_cache import allocate

from ..conftest import write_folder
from ..watch import train
from .stores import SPEC, pixels_of


def photos(folder, count=6, side=32, seed=0):
    folder.mkdir()
    rng = np.random.default_rng(seed)
    paths = [folder / f"{index:03}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path, compress_level=0)
    return paths


def overwrite(path, content):
    """Changes what is in a file and leaves size and time as they are."""
    before = path.stat()
    path.write_bytes(content.ljust(before.st_size, b"\0")[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def left(pattern="*"):
    """What lies in the cache folder, but for locks."""
    return [path for path in pixel_cache.folder().glob(pattern) if path.suffix != ".lock"]


@pytest.mark.usefixtures("no_plots")
def test_a_second_training_decodes_nothing(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "photos", {"train": 12, "val": 3, "test": 2})
    weights = []
    for name in ("first", "second"):
        run = train(folder, tmp_path, name=name, augment="light")
        weights.append((run.path / "best.safetensors").read_bytes())
        monkeypatch.setattr("zoo.data.decoding.read_resized", lambda *_, **__: pytest.fail("it decodes again"))
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("no_plots")
def test_another_seed_takes_other_pictures_from_the_same_store(tmp_path, capsys):
    folder = write_folder(tmp_path / "photos", {"train": 12, "test": 2})
    for seed in (0, 1):
        train(folder, tmp_path, name=str(seed), seed=seed, progress=True)
    first, second = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Decoded pictures")]
    assert first.endswith("in memory, kept for other runs.")
    assert second.endswith("in memory, from the cache.")


def move(path):
    path.rename(path.with_name("new.png"))


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def lengthen(path):
    before = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(0, before))


@pytest.mark.parametrize(
    ("change", "spec"),
    [
        (touch, SPEC),
        (lengthen, SPEC),
        (move, SPEC),
        (Path.unlink, SPEC),
        (None, replace(SPEC, image_size=17)),
        (None, replace(SPEC, crop_fraction=0.8)),
        (None, replace(SPEC, resize="squash")),
        (None, replace(SPEC, resize="shorter")),
        (None, replace(SPEC, interpolation="bicubic")),
    ],
    ids=["mtime", "size", "name", "absence", "image size", "crop", "resize", "shorter", "interpolation"],
)
def test_what_decides_about_pixels_decides_about_the_store(tmp_path, capsys, change, spec):
    paths = photos(tmp_path / "photos")
    pixels_of(paths)
    if change:
        change(paths[2])
    pixels_of(sorted((tmp_path / "photos").iterdir()), spec=spec)
    assert capsys.readouterr().err.count("kept for other runs") == 2


def test_what_the_network_does_with_pixels_does_not_decide_about_the_store(tmp_path, capsys):
    paths = photos(tmp_path / "photos")
    pixels_of(paths)
    pixels_of(paths, spec=replace(SPEC, mean=(0.1, 0.2, 0.3), channels="grey"))
    assert "from the cache" in capsys.readouterr().err


def test_a_store_grows_when_augmentation_wants_more_detail(tmp_path, capsys, monkeypatch):
    paths = photos(tmp_path / "photos")
    narrow = pixels_of(paths)
    wide = pixels_of(paths, augmented=True)
    assert capsys.readouterr().err.count("kept for other runs") == 2
    assert (narrow.shape[1], wide.shape[1], len(left())) == (16, 18, 1)
    assert np.array_equal(pixels_of(paths), narrow)
    assert np.array_equal(pixels_of(paths, augmented=True), wide)
    assert capsys.readouterr().err.count("from the cache") == 2
    monkeypatch.setattr("zoo.data.decoded_split.MARGIN", 1.5)
    assert pixels_of(paths, augmented=True).shape[1] == 24


@pytest.mark.parametrize(
    ("name", "size"),
    [("pixels.npy", 0), ("pixels.npy", 100), ("pixels.npy", 600), ("store.json", 0), ("store.json", 99)],
)
def test_a_damaged_store_is_made_anew(tmp_path, name, size):
    paths = photos(tmp_path / "photos")
    before = pixels_of(paths)
    (file,) = left(f"*/{name}")
    os.truncate(file, size)
    assert np.array_equal(pixels_of(paths), before)
    assert file.stat().st_size > size


def test_a_store_that_nobody_can_read_makes_room(tmp_path):
    pixels_of(photos(tmp_path / "photos"))
    (file,) = left("*/store.json")
    file.unlink()
    pixels_of(photos(tmp_path / "more", seed=1))
    assert len(left()) == len(pixel_cache.entries()) == 1


def test_a_picture_that_can_be_read_again_comes_back(tmp_path):
    paths = photos(tmp_path / "photos")
    content = paths[2].read_bytes()
    overwrite(paths[2], b"no picture")
    assert len(pixels_of(paths)) == 5
    assert len(pixels_of(paths)) == 5
    overwrite(paths[2], content)
    assert len(pixels_of(paths)) == 6


def flat(path, value, *, edges=255):
    """A picture without compression, whose first and last rows do not depend on what it shows."""
    pixels = np.full((96, 64, 3), edges, np.uint8)
    pixels[32:64] = value
    Image.fromarray(pixels).save(path, "BMP")


@pytest.mark.parametrize("where", ["edges", "middle"])
def test_contents_that_are_swapped_under_the_same_size_and_time_are_decoded_again(tmp_path, where):
    path = tmp_path / "a.bmp"
    flat(path, 10)
    before, first = path.stat(), pixels_of([path])
    flat(path, *{"edges": (10,), "middle": (240,)}[where], **({"edges": 9} if where == "edges" else {}))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (pixels_of([path]) != first).any()


def test_the_ends_of_a_file_tell_contents_apart_where_a_system_has_no_time_of_change(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(20_000))
    before = stamp(path)
    for place in (0, 4095, 20_000 - 4096, 19_999):
        path.write_bytes(bytes(place) + b"x" + bytes(19_999 - place))
        assert stamp(path).sample != before.sample
    path.write_bytes(b"")
    assert stamp(path).size == 0
    assert stamp(tmp_path / "absent") is None


def test_other_permissions_are_the_same_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    before = stamp(path)
    path.chmod(0o600)
    assert stamp(path).same_content(before)
    path.write_bytes(b"abd")
    assert not stamp(path).same_content(before)
    assert not before.same_content(None)


def test_many_stamps_are_in_the_order_of_their_files(tmp_path):
    paths = [tmp_path / f"{index}" for index in range(300)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes(index))
    assert [each.size for each in stamps([FileSource(path) for path in paths])] == list(range(300))


def test_pictures_that_are_truncated_do_not_reach_the_cache_through_a_setting_of_others(tmp_path, monkeypatch):
    paths = photos(tmp_path / "photos")
    paths[2].write_bytes(paths[2].read_bytes()[:-900])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert len(pixels_of(paths)) == 5
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


class Disturbed(Reporter):
    """Calls a function when the first picture has been decoded."""

    def __init__(self, disturb):
        super().__init__()
        self.disturb = disturb

    @contextmanager
    def bar(self, what, total):
        done = []
        yield lambda steps: done.append(steps) or (len(done) == 1 and self.disturb())


@pytest.mark.parametrize(("memory", "place"), [(2**30, "in memory"), (0, "memory-mapped")])
def test_pictures_that_change_while_they_are_decoded_are_not_kept(tmp_path, capsys, memory, place):
    paths = photos(tmp_path / "photos")
    disturbed = Disturbed(lambda: os.utime(paths[5]))
    assert len(pixels_of(paths, Budgets(memory, 2**30), reporter=disturbed)) == 6
    reason = "not kept for other runs: some of them changed while they were decoded."
    assert f"{place}, {reason}" in capsys.readouterr().err
    assert not left()


def test_an_interrupted_decode_leaves_nothing(tmp_path, capsys):
    paths = photos(tmp_path / "photos")

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pixels_of(paths, reporter=Disturbed(interrupt))
    assert not left()
    pixels_of(paths)
    assert "Waiting" not in capsys.readouterr().err


DECODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from hashlib import sha256
from pathlib import Path
from tests.data.stores import pixels_of
print(sha256(pixels_of(sorted(Path(sys.argv[1]).iterdir()))).hexdigest())
"""


def start_decoding(folder):
    command = [sys.executable, "-c", DECODE, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_while_it_writes_leaves_a_clean_start(tmp_path, capsys):
    paths = photos(tmp_path / "photos", 80, side=200)
    process = start_decoding(tmp_path / "photos")
    deadline = time.monotonic() + 60
    while not left(".*/pixels.npy") and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (remains,) = left()
    assert pixel_cache.is_temporary(remains)
    killed = hashlib.sha256(pixels_of(paths)).hexdigest()
    said = capsys.readouterr().err
    assert "kept for other runs" in said
    assert "Waiting" not in said
    (kept,) = left()
    assert not pixel_cache.is_temporary(kept)
    pixel_cache.clear()
    assert hashlib.sha256(pixels_of(paths)).hexdigest() == killed


def test_two_processes_at_once_decode_once(tmp_path):
    photos(tmp_path / "photos", 80, side=200)
    processes = [start_decoding(tmp_path / "photos") for _ in range(2)]
    (first, errors), (second, more_errors) = [process.communicate(timeout=120) for process in processes]
    assert first == second
    said = errors + more_errors
    assert (said.count("kept for other runs."), said.count("from the cache.")) == (1, 1)
    assert len(left()) == 1


def test_who_waits_says_what_for(tmp_path, capsys):
    paths = photos(tmp_path / "photos")
    pixels_of(paths)
    (store,) = left()
    shutil.rmtree(store)
    lock = FileLock(pixel_cache.folder() / f"{store.name}.lock", thread_local=False)
    lock.acquire()
    reporter = Reporter()
    say = reporter.say
    reporter.say = lambda message: (say(message), lock.release())
    pixels_of(paths, reporter=reporter)
    assert "Waiting for another process that decodes the same pictures" in capsys.readouterr().err


@pytest.fixture
def small_cache(small_disk, monkeypatch):
    """A cache folder on a disk of 64 KiB."""
    folder = small_disk(64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


Disk = namedtuple("Disk", "free")


@pytest.mark.parametrize("promised", [False, True], ids=["known to be full", "fills up"])
@pytest.mark.parametrize("memory", [2**30, 0])
def test_a_full_disk_is_no_end(capsys, monkeypatch, small_cache, memory, promised):
    paths = photos(small_cache.parent / "photos", 100)
    expected = pixels_of(paths, Budgets(2**30, 0))
    capsys.readouterr()
    if promised:  # a disk that another process fills
        monkeypatch.setattr("zoo.data.cache.shutil.disk_usage", lambda _: Disk(2**30))
    reporter, bars = Reporter(), []
    bar = reporter.bar
    reporter.bar = lambda *what: bars.append(what) or bar(*what)
    assert np.array_equal(pixels_of(paths, Budgets(memory, 2**30), reporter=reporter), expected)
    assert bars == [("Decoding", 100)]
    said = capsys.readouterr().err
    assert ("in memory" if memory else "streamed") in said
    assert f"{small_cache}/visionzoo/pixels cannot be written (no space left on device)" in said
    assert not left()


@pytest.mark.usefixtures("small_cache")
def test_features_ask_a_disk_that_fills_up_for_their_room(monkeypatch):
    monkeypatch.setattr("zoo.training.feature_cache.shutil.disk_usage", lambda _: Disk(2**30))
    assert allocate((1, 100, 1000), (10, 1000), 1) is None
    found = allocate((1, 1, 1000), (10, 1000), 1)
    found.train.fill_(1)
    assert found.place == "file"


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("budget", ["4GiB", "0", "1KB"])
def test_a_cache_that_cannot_be_written_is_no_end(bars, tmp_path, capsys, monkeypatch, budget):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    train(bars, tmp_path, strategy="head", cache_budget=budget, progress=True)
    said = capsys.readouterr().err
    assert ("in memory, not kept for other runs" if budget == "4GiB" else "streamed") in said
    assert f"{tmp_path}/file/visionzoo/pixels cannot be written (not a directory)" in said


def test_the_store_used_longest_ago_makes_room(tmp_path, capsys):
    folders = [photos(tmp_path / str(index), seed=index) for index in range(3)]
    size = 6 * 16 * 16 * 3
    tight = Budgets(2**30, int(2.5 * (size + 300)))
    first, second = (pixels_of(folders[index], tight) for index in range(2))
    for index, store in enumerate(sorted(left(), key=lambda path: (path / "store.json").stat().st_mtime_ns)):
        os.utime(store / "store.json", (index, index))
    assert np.array_equal(pixels_of(folders[0], tight), first)
    pixels_of(folders[2], tight)
    capsys.readouterr()
    pixels_of(folders[0], tight)
    assert "from the cache" in capsys.readouterr().err
    assert np.array_equal(pixels_of(folders[1], tight), second)
    assert "kept for other runs" in capsys.readouterr().err
    assert sum(entry.num_bytes for entry in pixel_cache.entries()) <= tight.disk


def test_a_store_that_is_read_outlives_its_removal(tmp_path):
    paths = photos(tmp_path / "photos")
    split = Split(FilePictures(paths), np.arange(6))
    budgets = Budgets(0, 2**30)
    (store,) = make_stores([split], SPEC, augmented=False, budgets=budgets, origin="", reporter=Reporter(quiet=True))
    before = store.pixels.take(np.arange(6))
    pixel_cache.clear()
    assert not left()
    assert np.array_equal(store.pixels.take(np.arange(6)), before)


def cache(*arguments):
    result = CliRunner().invoke(app, ["cache", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_shows_and_clears(tmp_path):
    assert "no decoded pictures" in cache()
    for index, count in enumerate((6, 1234)):
        pixels_of(photos(tmp_path / str(index), count, side=2))
    said = cache()
    assert "1,234" in said
    assert str(pixel_cache.folder()) in said
    assert str(pixel_cache.folder().parent / "datasets") in said
    found = json.loads(cache("--json"))
    assert sorted(store["num_pictures"] for store in found["stores"]) == [6, 1234]
    assert {store["image_size"] for store in found["stores"]} == {16}
    assert found["num_bytes"] == sum(file.stat().st_size for file in pixel_cache.folder().rglob("*/*"))
    assert json.loads(cache("--clear", "--json")) == {"freed_bytes": found["num_bytes"], "being_written": 0}
    assert not list(pixel_cache.folder().iterdir())
    assert json.loads(cache("--json"))["stores"] == []


def test_clearing_spares_what_is_being_written_and_what_is_not_ours(tmp_path):
    pixels_of(photos(tmp_path / "photos"))
    (store,) = left()
    pixels_of(photos(tmp_path / "more", seed=1))
    (pixel_cache.folder() / "notes.txt").touch()
    with FileLock(pixel_cache.folder() / f"{store.name}.lock"):
        assert "1 more stay: a training is writing them" in cache("--clear")
    assert {path.name for path in left()} == {store.name, "notes.txt"}


def test_a_folder_that_is_none_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "visionzoo").mkdir()
    (tmp_path / "visionzoo" / "pixels").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for arguments in (["cache"], ["cache", "--clear"]):
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        with pytest.raises(SystemExit) as ended:
            zoo_main()
        assert ended.value.code == 1
        assert f"The cache folder {tmp_path}/visionzoo/pixels cannot be used" in capsys.readouterr().err


def test_the_command_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; sys.argv = ['zoo', 'cache']\nfrom zoo.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, "no decoded pictures" in result.stdout) == (0, True), result.stderr
