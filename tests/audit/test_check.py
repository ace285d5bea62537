"""`zoo check`: what it finds, what it leaves alone, and how it says so."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zoo.audit import conclude, scan
from zoo.audit import near_duplicates as near
from zoo.audit.duplicates import Double, find_doubles
from zoo.cli import app
from zoo.data import ArrayPictures, Dataset, FilePictures, Split
from zoo.errors import UnknownNameError, UnreadablePictureError, UsageError
from zoo.images import read_picture

from ..refusals import refused


def photo(seed, size=(96, 80)):
    """A picture with large forms and fine grain, uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(seed)
    forms = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(forms) + rng.normal(0, 8, (size[1], size[0], 3)), 0, 255).astype(np.uint8)


def save(picture, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def compressed(picture, quality=30):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return read_picture(file.getvalue())


def resized(picture, size):
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


@pytest.fixture
def clean(tmp_path):
    """Two classes, 8 training, 2 validation and 2 test photos each."""
    counts = {"train": 8, "val": 2, "test": 2}
    seeds = iter(range(1000))
    for split, count in counts.items():
        for name in ("cat", "dog"):
            for index in range(count):
                save(photo(next(seeds)), tmp_path / "data" / split / name / f"{index}.png")
    return tmp_path / "data"


def arrays(train, val=None, test=None, classes=("a", "b")):
    """A dataset of pictures of one size; label 0 and 1 in turn."""

    def split(pictures):
        return Split(ArrayPictures(np.stack(pictures)), np.arange(len(pictures)) % len(classes))

    return Dataset(
        classes=classes, train=split(train), val=split(val) if val else None, test=split(test) if test else None
    )


def look(dataset):
    return scan(dataset, lambda _: None)


def run(*arguments):
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def report(*arguments):
    return json.loads(run(*arguments, "--json").stdout)


def problems(*arguments):
    """How many cases there are of each kind of problem."""
    return {problem["kind"]: len(problem["examples"]) for problem in report(*arguments)["problems"]}


def test_a_clean_dataset_has_no_problems(clean):
    result = run(clean)
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith("No problems found.")
    facts = report(clean)
    assert facts["problems"] == facts["duplicates"] == []
    assert facts["near_duplicates"]["compared"] == 24
    assert facts["usable"] is True


def test_the_facts_are_those_of_the_pictures(clean):
    save(photo(900, (400, 100)), clean / "train" / "cat" / "wide.png")
    save(photo(901, (70, 70)), clean / "train" / "cat" / "small.png")
    save(photo(902)[..., :1].repeat(3, axis=2), clean / "train" / "dog" / "grey.png")
    train = report(clean)["splits"]["train"]
    assert train["pictures"] == 19
    assert train["classes"] == {"cat": 10, "dog": 9}
    assert train["smallest"] == {"width": 70, "height": 70}
    assert train["median"] == {"width": 96, "height": 80}
    assert train["largest"] == {"width": 400, "height": 100}
    assert train["width_to_height"] == {"least": 1.0, "median": 1.2, "most": 4.0}
    assert train["grey"] == 1
    text = run(clean).stdout
    assert "70 x 70" in text
    assert "1.00 to 4.00" in text


def test_pictures_of_train_in_val_and_test_are_leaks(clean):
    shutil.copy(clean / "train/cat/0.png", clean / "test/cat/copy.png")
    save(resized(photo(1), (70, 64)), clean / "val/cat/small.jpg", quality=50)
    shutil.copy(clean / "val/dog/0.png", clean / "test/dog/copy.png")
    found = report(clean)
    pairs = {(Path(d["path_a"]).name, Path(d["path_b"]).name, d["kind"], d["split_b"]) for d in found["duplicates"]}
    assert pairs == {
        ("0.png", "copy.png", "exact", "test"),
        ("1.png", "small.jpg", "near", "val"),
    }
    said = {(p["kind"], p["severity"], p["message"].split(":")[0]) for p in found["problems"]}
    assert said == {
        ("exact-leak", "error", "Pictures in test that are also in train"),
        ("near-leak", "error", "Pictures in val that nearly equal one in train"),
        ("exact-leak", "warning", "Pictures in test that are also in val"),
    }
    assert report(clean)["usable"] is True  # zoo train takes them
    assert run(clean).exit_code == 1  # but the figures will be wrong


def test_a_picture_with_two_labels_is_an_error(clean):
    shutil.copy(clean / "train/cat/0.png", clean / "train/dog/wrong.png")
    save(compressed(photo(1)), clean / "train/dog/near.png")
    found = report(clean)
    assert {p["kind"]: p["severity"] for p in found["problems"]} == {
        "exact-label-conflict": "error",
        "near-label-conflict": "warning",
    }
    assert {(d["label_a"], d["label_b"]) for d in found["duplicates"]} == {("cat", "dog")}
    assert f"'cat': {clean}/train/cat/0.png, 'dog': {clean}/train/dog/wrong.png" in run(clean).stdout


def test_copies_within_train_matter_more_where_validation_is_cut_from_it(clean):
    shutil.copy(clean / "train/cat/0.png", clean / "train/cat/copy.png")
    save(compressed(photo(1)), clean / "train/cat/near.png")
    assert problems(clean) == {"exact-duplicate": 1, "near-duplicate": 1}
    assert "no validation split" not in run(clean).stdout
    shutil.rmtree(clean / "val")
    assert run(clean).stdout.count("no validation split") == 2


def test_the_same_file_in_two_lists_is_a_leak(clean, tmp_path):
    for name, files in (("train.txt", "cat/0 cat/1 dog/0 dog/1"), ("val.txt", "cat/0 dog/2")):
        lines = [f"data/train/{file}.png {file.split('/')[0]}" for file in files.split()]
        (tmp_path / name).write_text("\n".join(lines))
    assert problems(tmp_path / "train.txt", "--val", tmp_path / "val.txt") == {"exact-leak": 1, "few-pictures": 2}


def test_unreadable_pictures_are_named_with_their_reasons(clean):
    for index in range(25):
        (clean / "train" / "cat" / f"bad{index:02}.jpg").write_bytes(b"not a picture" if index else b"")
    result = run(clean)
    assert result.exit_code == 1
    assert "Unreadable pictures in train: 25 of 41, more than --max-unreadable allows" in result.stdout
    for index in (0, 19):
        with pytest.raises(UnreadablePictureError) as caught:
            read_picture(clean / "train" / "cat" / f"bad{index:02}.jpg")
        assert caught.value.cause in result.stdout
    assert "bad20.jpg" not in result.stdout
    assert "and 5 more: --json names them all" in result.stdout
    facts = report(clean)
    assert len(facts["problems"][0]["examples"]) == facts["splits"]["train"]["unreadable"] == 25
    assert facts["usable"] is False


def test_a_class_that_cannot_be_read_makes_the_data_unusable(clean):
    for picture in (clean / "train" / "cat").iterdir():
        picture.write_bytes(b"")
    result = run(clean)
    assert result.exit_code == 1
    assert "Classes without a readable picture in train: 1 of 2." in result.stdout
    assert result.stdout.rstrip().endswith("`zoo train` refuses these pictures as they are.")


def test_few_unreadable_pictures_are_a_warning(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    paths = [save(picture, tmp_path / f"{index}.png") for index, picture in enumerate(pictures)]
    for path in paths[:2]:  # a hundredth, as much as zoo train goes on with
        path.write_bytes(b"")
    found = look(Dataset(classes=("a", "b"), train=Split(FilePictures(paths), np.arange(200) % 2)))
    (problem,) = conclude(found, ("a", "b"), max_unreadable=0.01).problems
    assert (problem.kind, problem.severity, problem.stops) == ("unreadable", "warning", False)
    paths[2].write_bytes(b"")
    found = look(Dataset(classes=("a", "b"), train=Split(FilePictures(paths), np.arange(200) % 2)))
    (problem,) = conclude(found, ("a", "b"), max_unreadable=0.01).problems
    assert (problem.kind, problem.severity, problem.stops) == ("unreadable", "error", True)
    (problem,) = conclude(found, ("a", "b"), max_unreadable=0.02).problems
    assert problem.severity == "warning"


def test_classes_that_are_small_unequal_or_missing(clean):
    for index in range(90):
        save(photo(500 + index), clean / "train" / "cat" / f"more{index}.png")
    for name, count in (("eel", 4), ("fox", 5)):
        for index in range(count):
            save(photo(700 + 10 * count + index), clean / "train" / name / f"{index}.png")
    found = report(clean)
    kinds = {problem["kind"]: problem["examples"] for problem in found["problems"]}
    assert kinds.keys() == {"few-pictures", "imbalance", "missing-class"}
    assert kinds["few-pictures"] == ["eel: 4"]
    assert kinds["missing-class"] == ["eel", "fox"]
    assert [p["message"] for p in found["problems"] if p["kind"] == "missing-class"] == [
        "Classes without a readable picture in val: 2 of 4.",
        "Classes without a readable picture in test: 2 of 4.",
    ]


def test_blank_pictures_are_called_blank_and_not_copies_of_each_other(clean):
    for index in range(3):
        save(np.full((80, 80, 3), 255, np.uint8), clean / "train" / "cat" / f"white{index}.png")
        flat = 60 * index + np.random.default_rng(0).integers(0, 4, (80, 90, 3))
        save(flat.astype(np.uint8), clean / "val" / "dog" / f"grey{index}.png")
    assert problems(clean) == {"blank": 6}


def test_pictures_with_next_to_no_contrast_are_compared_by_their_pixels_alone():
    faint = (110 + photo(1) * 0.06).astype(np.uint8)
    touched = faint.copy()
    touched[0, 0] = 90
    found = look(arrays([faint, touched, faint], classes=("a",)))
    assert not found.blank.any()
    assert find_doubles(found) == (Double(0, 2, "exact", 0),)


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        lambda p: resized(p, (70, 64)),
        lambda p: resized(p, (200, 200)),
        lambda p: np.clip(p * 1.2, 0, 255).astype(np.uint8),
        lambda p: np.asarray(Image.fromarray(p).convert("L").convert("RGB")),
    ],
    ids=["recompressed", "smaller", "squashed", "brighter", "grey"],
)
def test_a_changed_copy_is_nearly_equal_and_nothing_else_is(change, tmp_path):
    originals = [photo(seed) for seed in range(30)]
    paths = [
        save(picture, tmp_path / f"{number:02}.png")
        for number, picture in enumerate([*originals, *(change(picture) for picture in originals)])
    ]
    found = look(Dataset(classes=("a",), train=Split(FilePictures(paths), np.zeros(60, dtype=np.int64))))
    pairs = {(double.a, double.b) for double in find_doubles(found)}
    assert pairs <= {(number, number + 30) for number in range(30)}
    assert len(pairs) >= 28


def test_other_pictures_with_the_same_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(near, "perceptual_hashes", lambda thumbs: np.zeros(len(thumbs), dtype=np.uint64))
    pictures = [photo(seed, (64, 64)) for seed in range(6)]
    found = look(arrays([*pictures, compressed(pictures[4])], classes=("a",)))
    assert find_doubles(found) == (Double(4, 6, "near", 0),)


def test_small_pictures_are_compared_by_their_pixels_alone():
    digits = [resized(photo(1, (28, 28)), (28, 28))] * 2
    digits.append(np.clip(digits[0].astype(int) + 1, 0, 255).astype(np.uint8))
    found = look(arrays(digits, classes=("a",)))
    assert find_doubles(found) == (Double(0, 1, "exact", 0),)
    assert [found.name(number) for number in (0, 2)] == ["train picture 0", "train picture 2"]


def test_equal_bytes_of_another_shape_are_another_picture(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    paths = [save(noise, tmp_path / "1.png"), save(noise.reshape(40, 20, 3), tmp_path / "2.png")]
    found = look(Dataset(classes=("a", "b"), train=Split(FilePictures(paths), np.array([0, 1]))))
    assert find_doubles(found) == ()


def test_each_copy_is_paired_once_with_the_nearest_of_each_split():
    original, close = photo(1, (96, 96)), compressed(photo(1, (96, 96)), 95)
    found = look(arrays([original, photo(2, (96, 96)), original], [close, original], [original], classes=("a",)))
    pairs = {(d.a, d.b, d.kind) for d in find_doubles(found)}
    assert pairs == {
        (0, 2, "exact"),
        (0, 3, "near"),
        (0, 4, "exact"),
        (3, 4, "near"),
        (0, 5, "exact"),
        (4, 5, "exact"),
    }


def test_pictures_that_only_a_third_connects_are_not_a_pair(monkeypatch):
    codes = np.array([0, 0b11111, 0b1111111111], dtype=np.uint64)  # 5 bits from one to the next, 10 from end to end
    monkeypatch.setattr(near, "perceptual_hashes", lambda thumbs: codes)
    scene = photo(0, (64, 64))
    train, val, test = [scene], [compressed(scene, 95)], [compressed(scene, 90)]
    found = look(arrays(train, val, test, classes=("a",)))
    assert find_doubles(found) == (Double(0, 1, "near", 5), Double(1, 2, "near", 5))


def test_another_label_is_found_behind_a_nearer_copy_of_the_same():
    one = photo(1, (96, 96))
    dataset = arrays([one, compressed(one, 95), photo(2, (96, 96)), compressed(one, 95)])  # labels a, b, a, b
    assert Double(0, 3, "near", 0) in find_doubles(look(dataset))


def test_memory_is_bounded_where_all_have_one_hash():
    assert max(len(rows) for rows, _ in near.candidate_pairs(np.zeros(100, dtype=np.uint64), 50)) < 100


@pytest.mark.parametrize("chunk", [near.CHUNK_PAIRS, 50])
def test_no_pair_within_seven_bits_is_missed(chunk):
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, dtype=np.uint64)
    changed = hashes.copy()
    for index in range(300):
        for bit in rng.choice(64, rng.integers(0, 10), replace=False):
            changed[index] ^= np.uint64(1) << np.uint64(bit)
    everything = np.concatenate([hashes, changed])
    distances = np.bitwise_count(everything[:, None] ^ everything[None])
    wanted = {(i, j) for i, j in np.argwhere(distances <= near.MAX_DISTANCE).tolist() if i < j}
    seen = set()
    for rows, columns in near.candidate_pairs(everything, chunk):
        assert len(rows) <= max(chunk, len(everything))
        seen |= set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(wanted) > 200
    assert wanted <= seen
    assert all(i < j for i, j in seen)


def test_a_series_of_one_scene_costs_little_and_is_one_group():
    rng = np.random.default_rng(0)
    scene = photo(3, (32, 32)).mean(axis=2)
    series = np.clip(scene + rng.normal(0, 4, (3000, 32, 32)), 0, 255).astype(np.uint8)
    roots, hashes = near.near_groups(np.concatenate([series, photo(4, (32, 32)).mean(axis=2)[None].astype(np.uint8)]))
    assert set(roots.tolist()) == {0, 3000}
    assert len(hashes) == 3001


def test_every_picture_is_decoded_once(clean, monkeypatch):
    read = []
    monkeypatch.setattr(
        "zoo.data.sources.read_picture", lambda path, **more: read.append(path) or read_picture(path, **more)
    )
    run(clean)
    assert len(read) == len(set(read)) == 24


def rows(folder):
    with (folder / "duplicates.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_output_holds_the_pairs_and_a_sheet(clean, tmp_path):
    shutil.copy(clean / "train/cat/0.png", clean / "test/dog/copy.png")
    assert "--output FOLDER shows the pairs" in run(clean).stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["data"]
    assert run(clean, "--output", tmp_path / "deep" / "out").exit_code == 1
    out = tmp_path / "deep" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["check.png", "duplicates.csv"]
    assert rows(out) == [
        {
            "path_a": f"{clean}/train/cat/0.png",
            "path_b": f"{clean}/test/dog/copy.png",
            "kind": "exact",
            "distance": "0",
            "split_a": "train",
            "split_b": "test",
            "label_a": "cat",
            "label_b": "dog",
        }
    ]
    with Image.open(out / "check.png") as sheet:
        taller = sheet.height
    (clean / "test/dog/copy.png").unlink()
    run(clean, "--output", out)
    assert rows(out) == []
    with Image.open(out / "check.png") as sheet:
        assert sheet.height < taller


def test_the_sheet_shows_each_class_and_then_the_worst_pairs(clean, monkeypatch, tmp_path):
    shutil.copy(clean / "train/cat/0.png", clean / "train/cat/same.png")
    shutil.copy(clean / "train/cat/1.png", clean / "val/cat/leak.png")
    shutil.copy(clean / "train/cat/2.png", clean / "train/dog/wrong.png")
    shown = []
    from zoo.audit import write

    original = write.contact_sheet
    monkeypatch.setattr(
        write,
        "contact_sheet",
        lambda pictures, captions, **o: shown.append(captions) or original(pictures, captions, **o),
    )
    run(clean, "--output", tmp_path / "out")
    classes, pairs = shown
    assert [caption.split("\n")[0] for caption in classes] == ["cat"] * 8 + ["dog"] * 8
    assert pairs == [
        "1. same pixels\ntrain: cat\n2.png",
        "1. same pixels\ntrain: dog\nwrong.png",
        "2. same pixels\ntrain: cat\n1.png",
        "2. same pixels\nval: cat\nleak.png",
        "3. same pixels\ntrain: cat\n0.png",
        "3. same pixels\ntrain: cat\nsame.png",
    ]


def test_an_output_that_cannot_be_written_is_said_before_the_pictures_are_read(clean, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("zoo.audit.check.scan", lambda *_: pytest.fail("decoded"))
    with refused("folder-not-writable", tmp_path / "file", "--output", kind=UsageError):
        run(clean, "--output", tmp_path / "file")


def test_names_are_those_of_zoo_train(tmp_path):
    with refused("unknown-name", "dataset", "'mnits'", kind=UnknownNameError):
        run("mnits")
    with refused("dataset-with-own-splits", "'mnist'", kind=UsageError):
        run("mnist", "--val", tmp_path)
    with refused("missing-dataset", "nowhere", kind=UsageError):
        run(tmp_path / "nowhere")


def test_strange_names_are_only_names(tmp_path):
    for label, name in enumerate(("[bold]", "[red]")):
        for index in range(6):
            save(photo(10 * label + index), tmp_path / "data" / name / f"a\x1b[31mb{index}.png")
    save(photo(5), tmp_path / "data" / "[bold]" / "a\x1b[31mb copy.png")
    strange = tmp_path / "data" / "[bold]" / b"caf\xe9.png".decode(errors="surrogateescape")
    save(photo(0), strange)
    text = run(tmp_path / "data", "--output", tmp_path / "out").stdout
    assert "\x1b" not in text
    assert "caf\ufffd.png" in text
    pairs = report(tmp_path / "data")["duplicates"]
    assert any(strange.name in pair["path_b"] for pair in pairs)


def test_many_classes_are_shown_by_their_smallest_and_largest(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)
    pictures = iter(noise)
    for label in range(25):
        for index in range(5 + label % 10):
            save(next(pictures), tmp_path / f"class{label:02}" / f"{index}.png")
    lines = run(tmp_path).stdout.splitlines()
    table = [line for line in lines if line.startswith(("class", "…"))]
    assert len(table) == 22
    assert "… 5 more" in table[11]


def test_it_needs_no_torch(clean, tmp_path):
    code = (
        "import sys; from zoo.cli import app\n"
        f"try: app(['check', {str(clean)!r}, '--output', {str(tmp_path / 'out')!r}])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'matplotlib'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("No problems found.")
