"""Contact sheets: many small pictures with captions in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SIDE = 112
GAP = 6
FONT_SIZE = 11
LEADING = 3
PAPER = "white"
# Neither black nor white: the edges of digits and of scans stay visible.
MOUNT = (225, 225, 225)


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    columns: int = 8,
    side: int = SIDE,
    title: str = "",
    font_size: int = FONT_SIZE,
) -> Image.Image:
    """Mounts pictures in rows, each with its caption below.

    A picture larger than its field is reduced with antialiasing. A smaller one is enlarged by a whole number without
    smoothing, so that the pixels of a digit stay visible. Proportions are kept.

    Args:
        pictures: uint8 `[H, W, 3]`, of any sizes.
        captions: one per picture; every line is shortened to the width of the field.
        columns: most pictures in a row.
        side: of a picture's square field, in pixels.
        title: lines above the pictures, broken between words if the sheet is too narrow.
        font_size: of captions and title, in pixels.

    Raises:
        ValueError: there are no pictures, the number of captions differs, or `columns` or `side` is below 1.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not pictures or len(pictures) != len(captions):
        raise ValueError(
            f"a contact sheet needs one caption per picture: {len(pictures)} pictures and {len(captions)} captions"
        )
    if columns < 1 or side < 1:
        raise ValueError(f"a contact sheet cannot have {columns} columns of {side} pixels")
    font, line_height = ImageFont.load_default(font_size), font_size + LEADING
    lines = [[_shortened(line, font, side) for line in caption.split("\n")] for caption in captions]
    columns = min(columns, len(pictures))
    across, down = side + GAP, side + GAP + line_height * max(map(len, lines))
    rows = -(-len(pictures) // columns)
    width = columns * across + GAP
    heading = _broken(title, font, width - 2 * GAP)
    above = GAP + line_height * len(heading)
    sheet = Image.new("RGB", (width, above + rows * down), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, text in enumerate(heading):
        pen.text((GAP, GAP // 2 + number * line_height), text, fill="black", font=font)
    for index, (picture, texts) in enumerate(zip(pictures, lines, strict=True)):
        left, top = GAP + index % columns * across, above + index // columns * down
        sheet.paste(Image.fromarray(mounted(picture, side)), (left, top))
        for number, text in enumerate(texts):
            pen.text((left, top + side + number * line_height), text, fill="black", font=font)
    return sheet


def mounted(picture: np.ndarray, side: int) -> np.ndarray:
    """The picture in the middle of a square field, uint8 `[side, side, 3]`; mounting a field again changes nothing."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    longest = max(image.size)
    if longest > side:
        smaller = (max(1, round(image.width * side / longest)), max(1, round(image.height * side / longest)))
        image = image.resize(smaller, Image.Resampling.LANCZOS, reducing_gap=3.0)
    elif side // longest > 1:
        factor = side // longest
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    field = Image.new("RGB", (side, side), MOUNT)
    field.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(field)


def _broken(title: str, font: Font, width: int) -> list[str]:
    """The title's lines, none wider than `width` but for single words, which are shortened."""
    lines: list[str] = []
    for line in title.splitlines():
        words = line.split()
        while words:
            fitting = 1
            while fitting < len(words) and font.getlength(_drawable(" ".join(words[: fitting + 1]), font)) <= width:
                fitting += 1
            lines.append(_shortened(" ".join(words[:fitting]), font, width))
            words = words[fitting:]
    return lines


def _shortened(line: str, font: Font, width: int) -> str:
    """The line, or as much of its start as fits, with an ellipsis."""
    text = _drawable(line, font)
    if font.getlength(text) <= width:
        return text
    more = _drawable("…", font)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + more) <= width else (low, middle - 1)
    return text[:low] + more


def _drawable(line: str, font: Font) -> str:
    from PIL import ImageFont

    # File names may have bytes that are not text, which fonts and terminals refuse.
    text = "".join(character if character.isprintable() else "\ufffd" for character in line)
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    # Pillow without FreeType has one bitmap font, with the characters of Latin-1.
    return text.encode("latin-1", "replace").decode("latin-1")
