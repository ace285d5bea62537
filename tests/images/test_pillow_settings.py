"""Pillow's settings are its defaults while we decode, and afterwards what others have set."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from zoo.errors import UnreadablePictureError
from zoo.images import as_picture, read_picture
from zoo.images.pillow_settings import pinned


def png(size=(60, 40)):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def changed(monkeypatch):
    """What a careless library sets."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)


def settings():
    return ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS


@pytest.mark.usefixtures("changed")
def test_a_truncated_picture_is_refused_and_a_large_one_is_read_whatever_others_have_set():
    for read in (read_picture, lambda data: as_picture(Image.open(io.BytesIO(data)))):
        if read is read_picture:
            assert read(png()).shape == (60, 40, 3)
        with pytest.raises(UnreadablePictureError, match="truncated"):
            read(png((5, 10))[:-30])
    assert settings() == (True, 100)


@pytest.mark.usefixtures("changed")
def test_many_threads_leave_the_settings_of_others():
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        for _ in range(30):
            with pytest.raises(UnreadablePictureError):
                read_picture(png((5, 10))[:-30])
            with pinned():
                assert settings() == (False, 1024**3 // 4 // 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert settings() == (True, 100)


def test_what_is_set_while_we_decode_is_pinned_for_the_next_picture_and_kept_for_others(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    with pinned():
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        with pinned():
            assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    with pinned():
        pass
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
