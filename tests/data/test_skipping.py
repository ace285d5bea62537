"""What a folder holds is taken, refused, or counted with an example: nothing is left out without a word."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from zoo.data import dataset_at
from zoo.errors import DataError
from zoo.images import search
from zoo.specs import DatasetRequest

from ..refusals import refused


def picture(path, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path, kind)


def load(path):
    return dataset_at(path).load(DatasetRequest(root=path))


@pytest.fixture
def photos(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        picture(tmp_path / "photos" / name)
    return tmp_path / "photos"


def names(dataset, root):
    return [path.relative_to(root).as_posix() for path in dataset.train.pictures.paths]


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", ".thumbnails", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", ".AppleDouble"],
)
def test_system_folders_are_neither_classes_nor_searched(photos, folder):
    for place in (photos, photos / "cat"):
        picture(place / folder / "1.png" / "SYNOFILE_THUMB_M.jpg")
    dataset = load(photos)
    assert dataset.classes == ("cat", "dog") and len(dataset.train) == 4
    assert dataset.notes == (f"Skipped in '{photos}': 2 files and folders of the system (for example '{folder}').",)


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", ".DS_Store", "._1.png"])
def test_system_files_are_counted(photos, name):
    (photos / "cat" / name).write_bytes(b"x")
    assert load(photos).notes == (f"Skipped in '{photos}': 1 file or folder of the system ('cat/{name}').",)


def test_pictures_are_taken_by_content_and_this_is_said(photos):
    picture(photos / "cat" / "IMG0001", "JPEG")
    picture(photos / "cat" / "scan.dat", "TIFF")
    (photos / "dog" / "notes.txt").write_text("P5 and others")
    dataset = load(photos)
    assert names(dataset, photos)[:4] == ["cat/1.png", "cat/2.png", "cat/IMG0001", "cat/scan.dat"]
    assert dataset.notes == (
        f"Skipped in '{photos}': 1 file that is not a picture ('dog/notes.txt').",
        f"Pictures in '{photos}' without the suffix of a picture, taken by their content: 2 ('cat/IMG0001').",
    )


def test_formats_that_need_a_package_are_pictures(photos):
    for name in ("cat/3.HEIC", "cat/4.jxl"):
        (photos / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert len(load(photos).train) == 6


def test_formats_that_are_not_decoded_are_counted(photos):
    for name in ("cat/1.CR2", "cat/1.psd", "dog/logo.svg"):
        (photos / name).write_bytes(b"II*\0")
    found = search(photos)
    assert [path.name for path in found.foreign] == ["1.CR2", "1.psd", "logo.svg"]
    assert load(photos).notes == (
        f"Skipped in '{photos}': 3 pictures in formats that zoo cannot read (for example 'cat/1.CR2').",
    )


def test_pictures_beside_the_class_folders_are_counted(photos):
    picture(photos / "stray.png")
    assert load(photos).notes == (f"Skipped in '{photos}': 1 picture outside the class folders ('stray.png').",)


def test_files_and_pictures_beside_the_splits_are_counted(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png", "stray.png"):
        picture(tmp_path / name)
    (tmp_path / "README").write_text("read me")
    assert load(tmp_path).notes == (
        f"Skipped in '{tmp_path}': 1 file that is not a picture ('README'), "
        "1 picture outside the class folders ('stray.png').",
    )


@pytest.mark.parametrize("name", ["bird", "Mr. Bird", "train", "val"])
def test_a_class_or_split_that_is_a_broken_link_is_an_error(photos, name):
    (photos / name).symlink_to(photos / "gone")
    with refused("broken-link", f"{photos / name}", f"{photos / 'gone'}", kind=DataError):
        load(photos)


def test_a_broken_link_that_may_be_a_folder_is_an_error_in_a_class_too(photos):
    (photos / "cat" / "more").symlink_to("more")
    with refused("broken-link", "cat/more", kind=DataError):
        load(photos)


def test_broken_links_to_files_are_counted(photos):
    (photos / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "cat" / "gone.txt").symlink_to(photos / "nowhere.txt")
    dataset = load(photos)
    assert len(dataset.train) == 5  # zoo train counts it among the unreadable pictures
    assert dataset.notes == (f"Skipped in '{photos}': 1 broken link ('cat/gone.txt').",)


def test_pipes_are_not_opened(photos):
    os.mkfifo(photos / "cat" / "pipe.png")
    os.mkfifo(photos / "cat" / "pipe")
    assert load(photos).notes == (f"Skipped in '{photos}': 2 devices and pipes (for example 'cat/pipe').",)


def test_links_back_to_a_folder_are_counted(photos):
    (photos / "cat" / "again").symlink_to(photos / "cat", target_is_directory=True)
    assert load(photos).notes == (f"Skipped in '{photos}': 1 link to a folder that is read already ('cat/again').",)


@pytest.mark.parametrize("place", ["", "cat", "cat/deep"])
def test_a_folder_that_cannot_be_read_is_an_error(photos, place, monkeypatch):
    picture(photos / "cat" / "deep" / "3.png")
    scan = os.scandir

    def closed(path):
        if os.fspath(path) == str(photos / place):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", closed)  # root may read everything
    with refused("unreadable-path", f"'{photos / place}'", "permission denied", kind=DataError):
        load(photos)


def test_an_empty_class_says_what_was_skipped(photos):
    (photos / "bird").mkdir()
    (photos / "bird" / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42")
    with refused("class-without-pictures", "'bird'", "film.mp4", kind=DataError):
        load(photos)


def test_order_is_that_of_the_names(tmp_path):
    for name in np.random.default_rng(0).permutation([f"{i:02}.png" for i in range(20)]):
        picture(tmp_path / "a" / name)
    found = search(tmp_path).pictures
    assert found == sorted(found)
