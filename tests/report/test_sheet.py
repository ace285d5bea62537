"""Contact sheets."""

import numpy as np
import pytest
from PIL import ImageFont

from zoo.report.contact_sheet import FONT_SIZE, GAP, LEADING, MOUNT, contact_sheet

LINE_HEIGHT = FONT_SIZE + LEADING


def field(sheet, index=0, columns=8, side=112, lines=1):
    left = GAP + index % columns * (side + GAP)
    top = GAP + index // columns * (side + GAP + LINE_HEIGHT * lines)
    return np.asarray(sheet)[top : top + side, left : left + side]


def test_a_digit_is_enlarged_by_a_whole_number_and_not_smoothed():
    digit = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    assert np.array_equal(field(contact_sheet([digit], ["7"])), digit.repeat(4, axis=0).repeat(4, axis=1))


def test_a_picture_that_nearly_fits_stays_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    shown = field(contact_sheet([picture], [""]))
    assert np.array_equal(shown[26:86, 6:106], picture)
    assert (shown[:26] == MOUNT).all()


@pytest.mark.parametrize(("shape", "inner"), [((600, 300), (112, 56)), ((1, 5000), (1, 112)), ((5000, 1), (112, 1))])
def test_a_large_picture_is_reduced_in_proportion(shape, inner):
    shown = field(contact_sheet([np.full((*shape, 3), 10, np.uint8)], [""]))
    rows, columns = np.nonzero((shown == 10).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == inner


def test_rows_and_columns():
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in range(5)]
    sheet = contact_sheet(pictures, [""] * 5, columns=2, side=8)
    assert sheet.size == (2 * (8 + GAP) + GAP, 3 * (8 + GAP + LINE_HEIGHT) + GAP)
    assert [field(sheet, i, columns=2, side=8)[0, 0, 0] for i in range(5)] == [0, 1, 2, 3, 4]
    assert contact_sheet(pictures[:1], ["a\nb"], side=8).size == (8 + 2 * GAP, 8 + 2 * GAP + 2 * LINE_HEIGHT)


@pytest.mark.parametrize(
    "caption", ["Grüße, 猫 🐈", "x" * 500, "tab\tbell\a", b"caf\xe9.jpg".decode(errors="surrogateescape")]
)
@pytest.mark.parametrize("freetype", [True, False])
def test_any_caption_is_drawn_below_and_nowhere_else(caption, freetype, monkeypatch):
    if not freetype:
        bitmap = ImageFont.load_default_imagefont()
        monkeypatch.setattr(ImageFont, "load_default", lambda _: bitmap)
    picture = np.zeros((4, 4, 3), np.uint8)
    pixels = np.asarray(contact_sheet([picture, picture], [caption, ""], side=64))
    ink = (pixels[GAP + 64 :] < 128).any(axis=(0, 2))
    assert ink[: GAP + 64].any()
    assert not ink[GAP + 64 :].any()


def test_a_caption_keeps_as_much_of_its_start_as_fits():
    font = ImageFont.load_default(FONT_SIZE)
    width = int(font.getlength("train/ant…")) + 1
    assert width < font.getlength("train/ants…")

    def shown(caption: str, side: int = width) -> np.ndarray:
        sheet = contact_sheet([np.zeros((2, 2, 3), np.uint8)], [caption], side=side)
        return np.asarray(sheet)[GAP + side :, GAP : GAP + width]

    assert np.array_equal(shown("train/ants/1.jpg"), shown("train/ant…", side=200))
    assert np.array_equal(shown("train/ant"), shown("train/ant", side=200))
    assert not np.array_equal(shown("train/ant"), shown("train/ant…"))


@pytest.mark.parametrize(("pictures", "captions"), [(0, 0), (2, 1)])
def test_nothing_to_show_is_an_error(pictures, captions):
    with pytest.raises(ValueError, match=f"{pictures} pictures and {captions} captions"):
        contact_sheet([np.zeros((2, 2, 3), np.uint8)] * pictures, ["a"] * captions)


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"side": 0}])
def test_a_sheet_has_columns_and_pixels(wrong):
    with pytest.raises(ValueError, match="cannot have"):
        contact_sheet([np.zeros((2, 2, 3), np.uint8)], ["a"], **wrong)


def test_a_title_stands_above_and_is_broken_between_words():
    picture = np.zeros((64, 64, 3), np.uint8)
    plain, titled = (
        contact_sheet([picture], ["a"], side=64, title=title) for title in ("", "one two three four\nfive")
    )
    assert titled.width == plain.width
    extra = titled.height - plain.height
    assert extra % LINE_HEIGHT == 0
    assert extra >= 3 * LINE_HEIGHT
    below, above = np.asarray(titled)[extra:], np.asarray(titled)[:extra]
    assert np.array_equal(below[GAP // 2 :], np.asarray(plain)[GAP // 2 :])
    lines = (above < 128).any(axis=(1, 2))
    assert all(lines[GAP // 2 + i * LINE_HEIGHT :][:LINE_HEIGHT].any() for i in range(extra // LINE_HEIGHT))
    assert not (above[:, 64 + GAP :] < 128).any()


def test_a_larger_font_takes_more_room():
    small, large = (contact_sheet([np.zeros((8, 8, 3), np.uint8)], ["a"], side=64, font_size=size) for size in (11, 20))
    assert large.height - small.height == 9
