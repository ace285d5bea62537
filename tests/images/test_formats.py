"""Pictures are known by their content, and HEIC and JPEG XL name the package that they need."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from zoo.errors import UnreadablePictureError
from zoo.images import plugins, read_picture
from zoo.images.formats import picture_format

from ..refusals import refused

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
AVIF = b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(40)
# 24 x 16 pixels: "small", 2 - 1, no ratio, 3 - 1.
JXL = b"\xff\x0a" + (1 | 1 << 1 | 0 << 6 | 2 << 9).to_bytes(2, "little") + bytes(30)


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """Neither package is installed, and Pillow's tables are restored."""
    for _, _, module in plugins.PACKAGES.values():
        monkeypatch.setitem(sys.modules, module, None)
    Image.init()
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    plugins._registered.cache_clear()
    yield
    plugins._registered.cache_clear()


def written(kind, mode="RGB", **options):
    if kind == "AVIF" and kind not in Image.SAVE:
        pytest.skip("Pillow before 11.3 writes no AVIF")
    file = io.BytesIO()
    Image.new(mode, (5, 4)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_each_format_is_known_by_its_first_bytes(kind):
    assert picture_format(written(kind)[:64]) == kind


@pytest.mark.parametrize(("mode", "kind"), [("1", "PPM"), ("L", "PPM"), ("L", "BMP"), ("1", "BMP")])
def test_other_modes(mode, kind):
    assert picture_format(written(kind, mode)[:64]) == kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (HEIC, "HEIF"),
        (AVIF, "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(40), None),
        (JXL, "JXL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "JXL"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"BM, a letter", None),
        (b"P5 is the name of a processor", None),
        (b"P5\n# made by hand\n24 16\n255\n", "PPM"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_first_bytes(head, kind):
    assert picture_format(head) == kind


@pytest.mark.parametrize(("data", "package"), [(HEIC, "pillow-heif"), (JXL, "pillow-jxl-plugin")])
def test_a_format_whose_package_is_missing_names_it(data, package, tmp_path):
    path = tmp_path / "photo.jpg"  # a phone's file, renamed
    path.write_bytes(data)
    with refused("missing-picture-package", "photo.jpg", f"pip install {package}", kind=UnreadablePictureError):
        read_picture(path)


def test_avif_without_a_pillow_that_reads_it_names_one(monkeypatch, tmp_path):
    monkeypatch.delitem(features.modules, "avif", raising=False)
    plugins._has_avif.cache_clear()
    path = tmp_path / "photo.jpg"
    path.write_bytes(AVIF)
    with refused("missing-picture-package", "photo.jpg", "pip install 'pillow>=11.3'", kind=UnreadablePictureError):
        read_picture(path)
    plugins._has_avif.cache_clear()


class Fake(ImageFile.ImageFile):
    """Decodes every file to one colour."""

    format, format_description = "HEIF", "for tests"

    def _open(self):
        self._mode, self._size = "RGB", (3, 2)
        self.tile = []
        self.fp.read()

    def load(self):
        if self._im is None:
            self._im = Image.new("RGB", self._size, (10, 20, 30)).im
        return super().load()


def install(monkeypatch, kind, log):
    image = type("FakeImage", (Fake,), {"format": kind})
    name = plugins.PACKAGES[kind][2]
    module = types.ModuleType(name)

    def register():
        log.append(kind)
        Image.register_open(kind, image, lambda head: True)

    module.register_heif_opener = register
    monkeypatch.setitem(sys.modules, name, module)
    plugins._registered.cache_clear()
    if kind == "JXL":
        register()


@pytest.mark.parametrize(("data", "kind"), [(HEIC, "HEIF"), (JXL, "JXL")])
def test_an_installed_package_is_used_when_a_file_needs_it(data, kind, monkeypatch):
    log = []
    install(monkeypatch, kind, log)
    assert read_picture(written("PNG")).shape == (4, 5, 3)
    assert log == ([] if kind == "HEIF" else ["JXL"])
    assert np.unique(read_picture(data).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]
    read_picture(data)
    assert log == [kind]


def test_jpeg_xl_is_bounded_before_it_is_decoded(monkeypatch):
    install(monkeypatch, "JXL", [])
    seen = []
    read_picture(JXL, admit=seen.append)
    assert seen == [24 * 16 * 3]
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with refused("too-many-pixels", "24 x 16", kind=UnreadablePictureError):
        read_picture(JXL, max_pixels=300)


def bits(*fields):
    value = place = 0
    for number, count in fields:
        value |= number << place
        place += count
    return b"\xff\x0a" + value.to_bytes(16, "little")


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (JXL, (24, 16)),
        (bits((1, 1), (4, 5), (1, 3)), (40, 40)),
        (bits((0, 1), (0, 2), (299, 9), (0, 3), (1, 2), (3999, 13)), (4000, 300)),
        (bits((0, 1), (2, 2), (99_999, 18), (7, 3)), (200_000, 100_000)),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x14ftypjxl \0\0\0\0jxl " + b"\0\0\0\0jxlc" + JXL, (24, 16)),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x40jxlp\0\0\0\0" + JXL, (24, 16)),
    ],
)
def test_the_size_of_a_jpeg_xl_file(data, size):
    file = io.BytesIO(data)
    assert plugins.jxl_size(file) == size and file.tell() == 0


@pytest.mark.parametrize("data", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x02abcd"])
def test_jpeg_xl_without_a_header(data, monkeypatch):
    install(monkeypatch, "JXL", [])
    with refused("damaged-picture", kind=UnreadablePictureError):
        read_picture(data)
