"""What an attack is: the file, what must come back for it, and what it may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PIXELS = 40_000_000  # what the demo takes
AT_THE_LIMIT = (5000, 8000)  # height and width of so many pixels


@dataclass(frozen=True)
class Upload:
    """A picture file.

    Attributes:
        build: returns the bytes of the file.
        comes: height and width of the picture, or the code of the refusal, with a part of its message behind a colon.
        mib: the memory it may take, in MiB.
        seconds: the time of the processor that it may take.
        disk: the bytes it may leave on the disk.
    """

    name: str
    build: Callable[[], bytes]
    comes: tuple[int, int] | str
    mib: int = 60
    seconds: float = 2.0
    disk: int = 0


def memory(shape: tuple[int, int], per_pixel: float = 8) -> int:
    """What a picture of that shape may take, in MiB: Pillow's pixels, those of the result, and a little more."""
    return 60 + round(shape[0] * shape[1] * per_pixel / 2**20)


TAKEN = "taken"
ENDLESS = "endless"  # the process had to be killed


@dataclass(frozen=True)
class Artifact:
    """An exported file.

    Attributes:
        name: its suffix says the format.
        build: writes the file.
        card, load, predict: what reading the card, opening the file and one prediction come to: `TAKEN`, `ENDLESS`,
            or the code of the refusal, with a part of its message behind a colon (`logits-shape: [1, 6]`). What is
            refused once is not asked further.
        verify: a part of what `zoo verify` says, which passes none of them.
        mib: the memory that each of the three may take, in MiB.
        seconds: the time of the processor that each of the three may take.
        slow: whether it takes more than a few seconds.
    """

    name: str
    build: Callable[[Path], None]
    card: str = TAKEN
    load: str = TAKEN
    predict: str = TAKEN
    verify: str = ""
    mib: int = 100
    seconds: float = 5.0
    slow: bool = False
