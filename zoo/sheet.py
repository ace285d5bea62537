"""Contact sheets: many small pictures with captions in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GAP = 6
FONT_SIZE = 11
LINE_HEIGHT = 14
PAPER = "white"
# Neither black nor white: the edges of digits and of scans stay visible.
MOUNT = (225, 225, 225)


def contact_sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], *, columns: int = 8, side: int = 112
) -> Image.Image:
    """Mounts pictures in rows, each with its caption below.

    A picture larger than its field is reduced with antialiasing; a smaller one is enlarged by a whole number, without
    smoothing, so that the pixels of a digit stay what they are. Proportions are kept.

    Args:
        pictures: uint8 `[H, W, 3]`, of any sizes.
        captions: one each; every line of it is shortened to the width of the field.
        columns: most pictures in a row.
        side: of a picture's square field, in pixels.

    Raises:
        ValueError: there are no pictures, or not as many captions, or `columns` or `side` is below 1.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not pictures or len(pictures) != len(captions):
        raise ValueError(f"{len(pictures)} pictures and {len(captions)} captions make no contact sheet")
    if columns < 1 or side < 1:
        raise ValueError(f"a contact sheet cannot have {columns} columns of {side} pixels")
    font = ImageFont.load_default(FONT_SIZE)
    lines = [[_shortened(line, font, side) for line in caption.split("\n")] for caption in captions]
    columns = min(columns, len(pictures))
    across, down = side + GAP, side + GAP + LINE_HEIGHT * max(map(len, lines))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (picture, texts) in enumerate(zip(pictures, lines, strict=True)):
        left, top = GAP + index % columns * across, GAP + index // columns * down
        sheet.paste(_mounted(picture, side), (left, top))
        for number, text in enumerate(texts):
            pen.text((left, top + side + number * LINE_HEIGHT), text, fill="black", font=font)
    return sheet


def _mounted(picture: np.ndarray, side: int) -> Image.Image:
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
    return field


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

    # File names may hold bytes that are no text; fonts and terminals refuse them.
    text = "".join(character if character.isprintable() else "\ufffd" for character in line)
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    # Pillow without FreeType has one bitmap font, which knows Latin-1.
    return text.encode("latin-1", "replace").decode("latin-1")
