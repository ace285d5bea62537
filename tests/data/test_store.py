"""Decoded pictures, wherever they are kept, are what `Preprocess` makes of the files."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.data import FilePictures, Split
from zoo.data import streaming_rows as streamed_module
from zoo.data.decoded_split import gather, make_stores
from zoo.data.decoding import Budgets
from zoo.data.pictures import ArrayPictures
from zoo.data.streaming_rows import StreamedRows
from zoo.data.workers import start_workers
from zoo.errors import DataError
from zoo.images import read_picture
from zoo.progress import Reporter
from zoo.specs import PreprocessSpec
from zoo.transforms.preprocess import Preprocess
from zoo.transforms.preprocess_numpy import resize

from ..conftest import draw, write_folder
from ..refusals import refused
from ..watch import train

SPEC = PreprocessSpec(image_size=16, crop_fraction=0.875)
PLACES = {"memory": Budgets(2**30, 2**30), "mapped": Budgets(0, 2**30), "streamed": Budgets(0, 0)}


@pytest.fixture
def paths(tmp_path):
    """Ten pictures of several sizes."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{index}.png" for index in range(10)]
    for index, file in enumerate(files):
        Image.fromarray(draw(index % 3, rng, (24 + 5 * (index % 4), 30))).save(file)
    return files


def split(paths):
    return Split(FilePictures(paths), np.arange(len(paths)))


def stores(*splits, place="memory", augmented=False, spec=SPEC):
    return make_stores(
        splits, spec, augmented=augmented, budgets=PLACES[place], origin="tests", reporter=Reporter(quiet=True)
    )


def expected(paths, spec):
    pictures = [torch.from_numpy(read_picture(path))[None] for path in paths]
    return torch.cat([Preprocess(spec).resize(each).round().byte() for each in pictures]).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_pixels_are_those_of_preprocess_bit_for_bit(paths, place, resize):
    spec = replace(SPEC, resize=resize)
    rest, first = stores(split(paths[3:]), split(paths[:3]), place=place, augmented=True, spec=spec)
    order = np.array([6, 0, 0, 5, 2, 1, 4, 3])
    wide = replace(spec, image_size=18, crop_fraction=1.0)
    for _ in range(2):
        assert np.array_equal(rest.pixels.take(order), expected(paths[3:], spec)[order])
        assert np.array_equal(rest.wide.take(order), expected(paths[3:], wide)[order])
        assert np.array_equal(first.pixels.take(np.arange(3)), expected(paths[:3], spec))
        rest.wide.announce(order)
    assert rest.preprocess == replace(spec, crop_fraction=1.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", [{"resize": "shorter"}, {"resize": "shorter", "interpolation": "bicubic"}], ids=str)
def test_resampled_pixels_are_those_of_the_resize_in_numpy(paths, place, change):
    spec = replace(SPEC, **change)
    wide = replace(spec, image_size=18, crop_fraction=1.0)
    (store,) = stores(split(paths), place=place, augmented=True, spec=spec)
    for rows, seen in ((store.pixels, spec), (store.wide, wide)):
        taken = rows.take(np.arange(10))
        for path, pixels in zip(paths, taken, strict=True):
            (resized,) = resize(read_picture(path)[None], seen)
            assert np.array_equal(pixels, np.rint(resized).astype(np.uint8).transpose(1, 2, 0))
        # Nearly a half is rounded to the other side.
        assert np.abs(taken.astype(int) - expected(paths, seen)).max() <= 1
    # What is left to do changes no pixel of the network's size.
    everything = torch.arange(10)
    kept = gather(store.pixels, everything, torch.device("cpu"))
    assert torch.equal(Preprocess(store.preprocess).resize(kept), kept.permute(0, 3, 1, 2).float())
    assert not store.preprocess.resampled


@pytest.mark.parametrize("place", PLACES)
def test_unreadable_pictures_are_left_out_of_their_split(paths, place):
    for index in (1, 6):
        paths[index].write_bytes(b"no picture")
    rest, first = stores(split(paths[4:]), split(paths[:4]), place=place)
    assert rest.labels.tolist() == [0, 1, 3, 4, 5]
    assert first.labels.tolist() == [0, 2, 3]
    assert ["6.png" in rest.unreadable[0], "1.png" in first.unreadable[0]] == [True, True]
    assert [len(each.unreadable) for each in (rest, first)] == [1, 1]
    assert np.array_equal(rest.pixels.take(np.arange(5)), expected([*paths[4:6], *paths[7:]], SPEC))
    assert np.array_equal(first.pixels.take(np.arange(3)), expected([paths[0], *paths[2:4]], SPEC))


def test_arrays_stay_as_they_are():
    array = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    (store,) = stores(Split(ArrayPictures(array), np.arange(5)), augmented=True)
    assert store.preprocess == SPEC
    batch = gather(store.wide, torch.tensor([4, 1]), torch.device("cpu"))
    assert batch.shape == (2, 28, 28, 3)
    assert np.array_equal(batch[..., 2], array[[4, 1]])


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def seen_by(function, *arguments):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(function(*arguments)))
    thread.start()
    thread.join()
    return seen[0]


@pytest.mark.usefixtures("three_threads")
def test_workers_compute_on_one_core_each_and_nobody_else_does(paths):
    with start_workers() as pool:
        assert {pool.submit(torch.get_num_threads).result() for _ in range(20)} == {1}
        assert torch.get_num_threads() == 3
        assert seen_by(torch.get_num_threads) == 3
    for place in PLACES:
        stores(split(paths), place=place)[0].pixels.take(np.arange(5))
        assert torch.get_num_threads() == 3
        assert seen_by(torch.get_num_threads) == 3


@pytest.fixture
def streamed(paths, monkeypatch):
    """A split of which four pictures may wait, with the path of every picture that is read from now on."""
    monkeypatch.setattr(streamed_module, "AHEAD_BYTES", 4 * 3 * 16 * 16)
    monkeypatch.setattr(streamed_module, "count_workers", lambda: 2)
    rows = stores(split(paths), place="streamed")[0].pixels
    read, rows.reads = streamed_module.read_resized, []
    monkeypatch.setattr(
        streamed_module,
        "read_resized",
        lambda picture, *to, **how: (rows.reads.append(picture.path), read(picture, *to, **how))[1],
    )
    return rows


def test_announced_pictures_are_decoded_once_and_not_far_ahead(streamed, paths):
    order = np.random.default_rng(0).permutation(10)
    streamed.announce(order)
    assert len(streamed.ahead) == 4
    for done in range(0, 10, 3):
        streamed.take(order[done : done + 3])
        assert len(streamed.ahead) <= 4
    assert sorted(streamed.reads) == paths


def test_what_is_announced_anew_takes_the_place_of_what_was_announced(streamed):
    streamed.announce(np.arange(10))
    streamed.announce(np.array([7, 7, 2]))
    assert [index for index, _ in streamed.ahead] == [7, 7, 2]
    streamed.announce(np.array([], dtype=np.int64))
    assert not streamed.ahead
    assert not streamed.coming


def test_a_picture_that_was_not_announced_takes_nothing_from_those_that_were(streamed, paths):
    streamed.announce(np.arange(10))
    assert np.array_equal(streamed.take(np.array([9, 5])), expected([paths[9], paths[5]], SPEC))
    assert np.array_equal(streamed.take(np.arange(10)), expected(paths, SPEC))
    assert len(streamed.reads) == 12


@pytest.mark.parametrize(
    ("change", "code"),
    [("remove", "removed-picture"), ("replace", "changed-picture"), ("damage", "changed-picture")],
)
def test_a_picture_that_changes_while_pictures_are_streamed_is_named(paths, change, code):
    (store,) = stores(split(paths), place="streamed")
    if change == "remove":
        paths[4].unlink()
    elif change == "replace":
        paths[4].write_bytes(paths[5].read_bytes())
    else:
        paths[4].write_bytes(b"nothing")
    assert len(store.pixels.take(np.array([3, 5]))) == 2
    with refused(code, "4.png'", "zoo train --resume", kind=DataError):
        store.pixels.take(np.array([3, 4, 5]))


OPTIONS = {"strategy": "finetune", "epochs": 2, "augment": "light", "freeze_until": "body"}
BUDGETS = {
    "memory": {},
    "mapped": {"cache_budget": "1KB"},
    "streamed": {"cache_budget": "1KB", "disk_budget": "0"},
}


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("options", [OPTIONS, {"strategy": "full", "sampling": "balanced", "augment": "photos"}])
def test_one_seed_gives_one_result_wherever_the_pictures_are(learn, capsys, options):
    weights = {}
    for place in ("streamed", "memory", "mapped"):
        run = learn(name=place, progress=True, **options, **BUDGETS[place])
        assert place in capsys.readouterr().err.split("Decoded pictures: ")[1].split("\n")[0]
        weights[place] = (run.path / "best.safetensors").read_bytes()
    assert weights["streamed"] == weights["memory"] == weights["mapped"]


@pytest.mark.usefixtures("no_plots")
def test_a_picture_that_is_removed_during_a_training_ends_it_and_the_checkpoint_stays(phases, tmp_path):
    folder = write_folder(tmp_path / "photos", {"train": 20, "val": 2})
    phases.at_end = lambda _: (folder / "train" / "line" / "007.png").unlink(missing_ok=True)
    with refused("removed-picture", "line/007.png'", kind=DataError):
        train(folder, tmp_path, strategy="gradual", epochs=3, **BUDGETS["streamed"])
    assert (tmp_path / "run" / "best.safetensors").exists()
    assert not phases[0].trainer.views.train.pixels.ahead


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "full", "augment": "light", "sampling": "balanced"},
        {"strategy": "full"},
        {"strategy": "gradual", "epochs": 3, "augment": "light"},
        {"strategy": "head", "cache_budget": "0"},
    ],
)
def test_a_training_announces_what_it_takes(learn, monkeypatch, options):
    late, take = [], StreamedRows.take

    def watched(self, indices):
        if len(indices) > 2:  # an example of two pictures comes in between
            late.append(not self.ahead or self.ahead[0][0] != indices[0])
        return take(self, indices)

    monkeypatch.setattr(StreamedRows, "take", watched)
    learn(**{**BUDGETS["streamed"], **options})
    assert len(late) >= 10
    assert not any(late)
