"""`zoo_demo.drawing`: strokes become digits as MNIST holds them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from zoo.errors import DataError
from zoo_demo.drawing import digit_from_strokes, parse_strokes

from ..refusals import refused

SEVEN = [[(0.2, 0.2), (0.7, 0.2), (0.4, 0.9)], [(0.3, 0.55), (0.6, 0.55)]]
RING = [[(0.5 + 0.2 * np.cos(a), 0.5 + 0.3 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 60)]]
SHAPES = {
    "seven": SEVEN,
    "ring": RING,
    "one": [[(0.5, 0.1), (0.45, 0.9)]],
    "dash": [[(0.05, 0.5), (0.95, 0.5)]],
}


def moved(strokes, scale=1.0, shift=(0.0, 0.0)):
    return [[(scale * x + shift[0], scale * y + shift[1]) for x, y in stroke] for stroke in strokes]


def extent(digit):
    rows, columns = np.nonzero(digit[:, :, 0])
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize("strokes", SHAPES.values(), ids=SHAPES)
def test_a_digit_is_white_on_black_in_a_box_of_20_with_its_centre_of_mass_in_the_middle(strokes):
    digit = digit_from_strokes(strokes)
    assert digit.shape == (28, 28, 3)
    assert digit.dtype == np.uint8
    assert (digit == digit[:, :, :1]).all()
    assert digit.max() == 255
    assert max(extent(digit)) == 20
    weight = digit[:, :, 0].astype(float)
    positions = np.arange(28)
    for axis in (0, 1):
        # MNIST's lies at 14.0 in the mean, and within half a pixel of it in every digit.
        assert (weight.sum(axis) * positions).sum() / weight.sum() == pytest.approx(14.0, abs=0.52)


@pytest.mark.parametrize("scale", [0.1, 0.3, 2.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (-0.1, 0.4)])
def test_neither_size_nor_place_on_the_pad_changes_the_digit(scale, shift):
    same = digit_from_strokes(moved(SEVEN, scale, shift)).astype(int)
    difference = np.abs(same - digit_from_strokes(SEVEN).astype(int))
    assert difference.mean() < 2
    assert difference.max() < 64


def test_a_stroke_is_as_wide_as_in_mnist_and_antialiased():
    digit = digit_from_strokes([[(0.5, 0.1), (0.5, 0.9)]])
    assert digit[14, :, 0].sum() / 255 == pytest.approx(2.4, abs=0.15)
    slanted = digit_from_strokes([[(0.4, 0.1), (0.6, 0.9)]])
    assert ((slanted > 0) & (slanted < 255)).any()


def test_the_aspect_ratio_is_kept():
    height, width = extent(digit_from_strokes([[(0.4, 0.1), (0.6, 0.1), (0.6, 0.9), (0.4, 0.9), (0.4, 0.1)]]))
    assert (height, width) == (20, pytest.approx(2.4 + 17.6 / 4, abs=1.1))


def test_all_the_ink_is_inside_where_the_centre_of_mass_is_far_out():
    scribble = [[(0.1 + 0.01 * i, 0.1 + 0.05 * (i % 2)) for i in range(80)], [(0.1, 0.1), (0.1, 0.9)]]
    digit = digit_from_strokes(scribble)
    assert max(extent(digit)) == 20


def test_a_tap_stays_a_dot():
    assert max(extent(digit_from_strokes([[(0.5, 0.5), (0.503, 0.501)]]))) <= 5


def test_a_second_stroke_is_drawn_apart_from_the_first():
    digit = digit_from_strokes([[(0.2, 0.1), (0.2, 0.9)], [(0.8, 0.1), (0.8, 0.9)]])
    assert digit[14, 14, 0] == 0


def test_strokes_are_parsed():
    assert parse_strokes("[[[0.1, 0.2], [1, 0]], []]") == [[(0.1, 0.2), (1.0, 0.0)]]


@pytest.mark.parametrize("text", [None, "", "[]", "[[]]"])
def test_an_empty_pad_is_said_in_a_friendly_way(text):
    with refused("nothing-drawn", kind=DataError):
        parse_strokes(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("seven", "unreadable-drawing"),
        ("7", "unreadable-drawing"),
        ("{}x", "unreadable-drawing"),
        ('{"a": 1}', "unreadable-drawing"),
        ("[[[1]]]", "unreadable-drawing"),
        ("[[[1, 2, 3]]]", "unreadable-drawing"),
        ('[[["a", "b"]]]', "unreadable-drawing"),
        ("[[[NaN, 1]]]", "unreadable-drawing"),
        ("[[[1e999, 1]]]", "unreadable-drawing"),
        ("[[[1, -1e308]]]", "unreadable-drawing"),
        ("[" * 100_000, "drawing-too-large"),
        (f"[[[{'9' * 5000}, 0]]]", "unreadable-drawing"),
        (json.dumps([[[0.123456, 0.5]] * 70_000]), "drawing-too-large"),
    ],
    ids=map(str, range(13)),
)
def test_text_that_is_not_a_drawing_is_refused(text, code):
    with refused(code, kind=DataError):
        parse_strokes(text)


def test_a_stroke_that_leaves_the_pad_is_drawn_whole():
    assert max(extent(digit_from_strokes(parse_strokes("[[[-0.5, 0.5], [1.5, 0.5]]]")))) == 20
