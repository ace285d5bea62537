"""Turns strokes on the pad into a picture like those of MNIST.

A digit of MNIST was scaled into a box of 20 pixels with its aspect ratio, antialiased, and placed in a field
of 28 by 28 pixels with its centre of mass in the middle (LeCun et al., http://yann.lecun.com/exdb/mnist/).
Strokes stay lines until the scale is known, so the pen has the same width in small and large drawings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zoo.errors import DataError
from zoo_demo.limits import MAX_DRAWING_CHARACTERS, MAX_POINTS

SIDE = 28
BOX = 20
# MNIST's strokes are 2.5 pixels wide on average (twice the distance from skeleton to edge, over 400 digits).
# Antialiasing widens a pen of 2.4 to that width, and the mean intensity becomes MNIST's, 0.13.
PEN = 2.4
# MNIST's mean centre of mass, measured from the upper left corner: the middle of the fifteenth pixel.
MIDDLE = 14.5
# A tap is never still: a drawing smaller than this part of the pad is not enlarged to the whole box.
SMALLEST_EXTENT = 0.05
OVERSAMPLING = 16
FAR = 100  # a captured pointer may leave the pad by at most this many sides

Stroke = Sequence[tuple[float, float]]


def parse_strokes(text: str | None) -> Sequence[Stroke]:
    """Reads what the pad sends.

    Args:
        text: JSON, a list of strokes, each a list of `[x, y]`, fractions of the pad's side from its upper
            left corner.

    Raises:
        DataError: nothing is drawn, or the text is not a drawing.
    """
    again = "Clear the pad and draw again."
    if not text or text == "[]":
        raise _nothing_drawn()
    if len(text) > MAX_DRAWING_CHARACTERS or text.count("[") > MAX_POINTS:
        raise DataError("The drawing has too many strokes.", again, code="drawing-too-large")
    try:
        strokes = [[(float(x), float(y)) for x, y in stroke] for stroke in json.loads(text)]
    except (ValueError, TypeError, RecursionError):
        raise DataError("The drawing cannot be read.", again, code="unreadable-drawing") from None
    strokes = [stroke for stroke in strokes if stroke]
    if not strokes:
        raise _nothing_drawn()
    if not all(abs(x) <= FAR and abs(y) <= FAR for stroke in strokes for x, y in stroke):
        raise DataError("The drawing cannot be read.", again, code="unreadable-drawing")
    return strokes


def _nothing_drawn() -> DataError:
    remedy = "Draw on the pad with a finger, a pen or the mouse."
    return DataError("Nothing is drawn yet.", remedy, code="nothing-drawn")


def digit_from_strokes(strokes: Sequence[Stroke]) -> np.ndarray:
    """Draws strokes like digits of MNIST: white on black, scaled, centred.

    Args:
        strokes: at least one, each of at least one point; x to the right, y down, the pad's side is 1.

    Returns:
        uint8 `[28, 28, 3]`.
    """
    points = np.array([point for stroke in strokes for point in stroke])
    low, high = points.min(0), points.max(0)
    # Pillow's shapes include their last pixel, on both sides.
    scale = (OVERSAMPLING * (BOX - PEN) - 2) / max(*(high - low), SMALLEST_EXTENT)
    margin = OVERSAMPLING * SIDE
    ink = _ink([(np.array(stroke) - low) * scale + margin for stroke in strokes], 3 * margin)
    rows, columns = np.nonzero(ink)
    left, upper = _corner(columns), _corner(rows)
    field = Image.fromarray(ink).crop((left, upper, left + margin, upper + margin))
    digit = np.asarray(field.reduce(OVERSAMPLING))
    return np.repeat(digit[:, :, None], 3, axis=2)


def _ink(strokes: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Strokes `[P, 2]` as uint8 `[side, side]`, 255 where there is ink, with round ends and joints."""
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    radius = OVERSAMPLING * PEN / 2
    for stroke in strokes:
        points = [(float(x), float(y)) for x, y in stroke]
        draw.line(points, fill=255, width=round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(image)


def _corner(positions: np.ndarray) -> int:
    """Where the field begins: whole pixels before the ink, with its mean in the middle and no ink outside."""
    low = int(positions.min())
    pixels = round(MIDDLE - (float(positions.mean()) + 0.5 - low) / OVERSAMPLING)
    room = SIDE - math.ceil((int(positions.max()) + 1 - low) / OVERSAMPLING)
    return low - OVERSAMPLING * min(max(pixels, 0), room)
