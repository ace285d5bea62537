"""The icon of a page on a phone: the bars of an answer."""

from __future__ import annotations

from PIL import Image, ImageDraw

_BARS = ((0.78, "#ffffff"), (0.42, "#93c5fd"), (0.26, "#93c5fd"))  # their lengths as shares of the side


def draw_icon(side: int) -> Image.Image:
    """A square of `side` pixels. Phones cut its corners off: a tenth of the side is background."""
    image = Image.new("RGB", (side, side), "#1d4ed8")
    draw = ImageDraw.Draw(image)
    thick, left = round(side * 0.14), round(side * 0.18)
    for number, (length, colour) in enumerate(_BARS):
        top = round(side * (0.22 + 0.21 * number))
        place = (left, top, left + round(length * side * 0.82), top + thick)
        draw.rounded_rectangle(place, radius=thick // 3, fill=colour)
    return image
