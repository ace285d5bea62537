"""Whether a file is a whole picture, in most cases without decoding it."""

from __future__ import annotations

from pathlib import Path

from zoo.images.read import read_header

# What the last bytes of a file hold where nothing of it is missing. Programs may write a little behind it.
_ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
TAIL_BYTES = 1024


def seems_complete(path: Path) -> bool:
    """Reads the header and the end of a file: about 0.2 ms.

    Returns:
        False where only decoding can tell: in other formats than JPEG and PNG, and where the end is not as usual.

    Raises:
        UnreadablePictureError: as `read_picture`, for what the header shows.
    """
    end = _ENDS.get(read_header(path).format)
    if end is None:
        return False
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
        return end in file.read()
