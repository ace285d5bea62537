"""`zoo predict`: every kind of picture, every kind of output, nothing heavy."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from typer.testing import CliRunner

from zoo.artifacts.heat_pictures import heat_picture
from zoo.artifacts.predictor import load
from zoo.cli import app
from zoo.errors import UsageError
from zoo.images import read as images
from zoo.images import read_picture


def bar(height: int, width: int) -> np.ndarray:
    """An upright bright bar on noise, which tells where up is."""
    pixels = np.random.default_rng(0).integers(0, 80, (height, width, 3), dtype=np.uint8)
    pixels[:, width * 3 // 8 : width * 5 // 8 + 1] = (250, 220, 190)
    return pixels


def save_all(folder: Path) -> dict[str, Path]:
    """One file of every kind that shows the bar, by kind."""
    folder.mkdir()
    upright = Image.fromarray(bar(30, 24))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.rotate(90, expand=True).save(folder / "exif.jpg", quality=95, exif=exif)
    upright.convert("L").save(folder / "grey.png")
    upright.quantize(64).save(folder / "palette.png")
    upright.convert("RGBA").save(folder / "rgba.png")
    upright.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    deep = np.asarray(upright.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(bar(1, 1)).save(folder / "dot.png")
    Image.fromarray(bar(4000, 6000)).save(folder / "large.jpg", quality=80)
    return {path.stem: path for path in folder.iterdir()}


def save_broken(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    whole = folder / "whole.png"
    Image.fromarray(bar(30, 24)).save(whole)
    (folder / "truncated.png").write_bytes(whole.read_bytes()[:400])
    whole.unlink()
    (folder / "text.png").write_text("this is not a picture")
    (folder / "empty.png").touch()
    return {path.stem: path for path in folder.iterdir()}


def run_zoo(*arguments: object):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def rows(*arguments: object) -> dict[str, dict]:
    done = run_zoo(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return {Path(row["file"]).stem: row for row in json.loads(done.stdout)}


def test_every_kind_of_picture(model, tmp_path):
    files = save_all(tmp_path / "pictures")
    found = rows(model, *files.values())
    assert found.keys() == files.keys()
    predictor = load(model)
    for kind, path in files.items():
        expected = predictor.predict([read_picture(path)])[0]
        assert found[kind]["label"] == expected.label
        assert found[kind]["probability"] == pytest.approx(expected.probability, abs=1e-5)
    assert {found[kind]["label"] for kind in files if kind != "dot"} == {"bar"}


@pytest.mark.parametrize("kind", ["truncated", "text", "empty"])
def test_a_picture_that_cannot_be_read_is_named_and_the_others_go_on(model, tmp_path, kind):
    broken = save_broken(tmp_path / "broken")[kind]
    good = tmp_path / "good.png"
    Image.fromarray(bar(24, 24)).save(good)
    done = run_zoo(model, broken, good, tmp_path / "absent.png", "--json")
    assert done.exit_code == 1
    assert [row["file"] for row in json.loads(done.stdout)] == [str(good)]
    assert f"'{broken}' cannot be read" in done.stderr
    assert "absent.png' cannot be read: no such file or directory. Check its name, or leave it out.\n" in done.stderr
    assert "2 of 3 pictures could not be read" in done.stderr


def test_the_test_split_as_files_gives_the_runs_own_accuracy(model, trained, bars):
    found = rows(model, bars / "test")
    done = run_zoo(model, bars / "test", "--json")
    right = [Path(row["file"]).parent.name == row["label"] for row in json.loads(done.stdout)]
    assert len(right) == 18
    assert sum(right) / len(right) == trained.metrics["top1"]
    assert len(found) == 6  # stems repeat from class to class


def test_folders_are_searched_to_the_bottom_and_order_is_kept(model, bars, tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    Image.fromarray(bar(8, 8)).save(deep / "c.png")
    done = run_zoo(model, tmp_path / "a", bars / "val" / "slope", "--json")
    files = [row["file"] for row in json.loads(done.stdout)]
    assert files == [str(deep / "c.png"), *map(str, sorted((bars / "val" / "slope").iterdir()))]


def test_a_folder_is_answered_in_full_or_the_exit_code_is_1(model, tmp_path):
    folder = tmp_path / "mixed"
    save_broken(folder)["empty"].unlink()
    (folder / "text.png").unlink()
    (folder / "truncated.png").unlink()
    Image.fromarray(bar(30, 24)).save(folder / "plain.png")
    Image.fromarray(bar(30, 24)).save(folder / "IMG_0001", "JPEG")
    (folder / "@eaDir").mkdir()
    Image.fromarray(bar(30, 24)).save(folder / "@eaDir" / "thumb.jpg")
    (folder / "notes.txt").write_text("no picture")
    done = run_zoo(model, folder, "--json")
    assert done.exit_code == 0  # all that are pictures are answered
    assert [Path(row["file"]).name for row in json.loads(done.stdout)] == ["IMG_0001", "plain.png"]
    assert "'@eaDir'" in done.stderr and "'notes.txt'" in done.stderr and "'IMG_0001'" in done.stderr
    (folder / "raw.CR2").write_bytes(b"II*\0")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    done = run_zoo(model, folder, "--json")
    assert done.exit_code == 1
    assert [Path(row["file"]).name for row in json.loads(done.stdout)] == ["IMG_0001", "plain.png"]
    assert "raw.CR2' cannot be read: zoo does not decode .cr2 files." in done.stderr
    assert "phone.heic' cannot be read" in done.stderr and "2 of 4 pictures could not be read." in done.stderr


def test_the_table_is_for_people(model, bars):
    done = run_zoo(model, bars / "test" / "bar" / "000.png", "--top-k", 2)
    assert done.exit_code == 0, done.output
    head, row = done.stdout.splitlines()
    assert head.split() == ["file", "class", "probability", "then"]
    assert row.split()[:2] == [str(bars / "test" / "bar" / "000.png"), "bar"]
    assert row.count("%") == 2


def test_csv_is_for_programs(model, bars, tmp_path):
    odd = tmp_path / 'a, "b".png'
    Image.fromarray(bar(24, 24)).save(odd)
    done = run_zoo(model, odd, "--csv", "--top-k", 2)
    (row,) = csv.DictReader(StringIO(done.stdout))
    assert row["file"] == str(odd)
    assert list(row) == ["file", "label", "probability", "label_2", "probability_2"]
    assert float(row["probability"]) > float(row["probability_2"])


def test_more_classes_than_there_are(model, bars):
    row = rows(model, bars / "test" / "bar" / "000.png", "--top-k", 99)["000"]
    assert len(row["top"]) == 3
    assert sum(entry["probability"] for entry in row["top"]) == pytest.approx(1)


def test_nothing_readable_is_an_empty_list(model, tmp_path):
    done = run_zoo(model, *save_broken(tmp_path / "broken").values(), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (1, [])


def test_heat_maps(model, bars, tmp_path):
    first, second = sorted((bars / "test").rglob("*.png"))[:2]
    other = tmp_path / "other" / first.name
    other.parent.mkdir()
    other.write_bytes(second.read_bytes())
    maps = tmp_path / "maps"
    done = run_zoo(model, first, other, "--heatmap", maps, "--json")
    assert done.exit_code == 0 and len(json.loads(done.stdout)) == 2
    written = sorted(maps.iterdir())
    assert [path.name for path in written] == [f"{first.stem}-2.png", f"{first.stem}.png"]
    pictures = [read_picture(path) for path in written]
    assert pictures[0].shape == pictures[1].shape == (240 + 20, 480 + 10, 3)
    assert (pictures[0] != pictures[1]).any()
    with pytest.raises(UsageError, match="not empty"):
        raise run_zoo(model, first, "--heatmap", maps).exception
    assert sorted(maps.iterdir()) == written


def test_a_picture_with_a_heat_map_is_read_once_and_has_its_own_map(model, bars, tmp_path, monkeypatch):
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for file, other in zip(files, sorted((bars / "test").rglob("*.png")), strict=False):
        Image.open(other).rotate(7).resize((31, 40)).save(file)
    files[4].write_bytes(b"torn")
    read, real = [], images._with_image
    monkeypatch.setattr(images, "_with_image", lambda source, *rest: read.append(source) or real(source, *rest))
    done = run_zoo(model, *files, "--heatmap", tmp_path / "maps", "--json")
    assert (sorted(read), done.exit_code) == (sorted(files), 1)
    predictor = load(model)
    for file in {*files} - {files[4]}:
        written = read_picture(tmp_path / "maps" / file.name).astype(int)
        assert np.abs(written - heat_picture(predictor.heat_map(file))).max() <= 1


def test_a_heat_map_of_a_picture_with_a_long_name(model, bars, tmp_path):
    picture = next((bars / "test").rglob("*.png"))
    long = tmp_path / f"{'ä' * 120}a.png"
    long.write_bytes(picture.read_bytes())
    done = run_zoo(model, long, long, "--heatmap", tmp_path / "maps", "--csv")
    assert done.exit_code == 0, done.exception
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == [f"{'ä' * 60}-2.png", f"{'ä' * 60}.png"]


def test_a_folder_for_heat_maps_that_cannot_be_made(model, bars, tmp_path):
    (tmp_path / "file").touch()
    done = run_zoo(model, bars, "--csv", "--heatmap", tmp_path / "file" / "maps")
    assert isinstance(done.exception, UsageError)
    assert "--heatmap" in done.exception.remedy
    assert not done.stdout


def test_wrong_commands(model, bars, tmp_path):
    cases = [
        ((model, tmp_path), UsageError, "no pictures in"),
        ((model, bars, "--json", "--csv"), UsageError, "cannot be used together"),
        ((model, ""), UsageError, "name of a picture is empty"),
        ((model, bars, "https://example.com//a.jpg"), UsageError, "'https://example.com//a.jpg' is an address"),
        ((tmp_path / "absent.onnx", bars), UsageError, "does not exist"),
        ((bars / "test" / "bar" / "000.png", bars), UsageError, "does not have the suffix"),
    ]
    for arguments, error, reason in cases:
        done = run_zoo(*arguments)
        assert isinstance(done.exception, error), done.output
        assert reason in str(done.exception)


def test_nothing_heavy_is_imported(model, bars):
    code = (
        "import sys\nfrom zoo.cli import main\n"
        "sys.argv = ['zoo', 'predict', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'torch', 'gradio', 'onnx', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", code, model, bars / "test" / "bar", "--csv"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
    assert len(done.stdout.splitlines()) == 7
