"""What would end a training after its last epoch, and can be known before its first step."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.data import Dataset, Pictures
from zoo.data.pictures import SourcePictures
from zoo.data.prefetch import count_workers, decode
from zoo.data.usable import check_unreadable
from zoo.errors import TrainingError, UnreadablePictureError
from zoo.progress import Reporter, size_in_words
from zoo.training.distributed import World
from zoo.training.summary import count_parameters

if TYPE_CHECKING:
    from zoo.training.setup import Setup

_BYTES = 4  # of a number
_STATES = {"adamw": 2, "adam": 2, "sgd": 1}  # numbers that the optimiser keeps for each trainable parameter
PLOTS_BYTES = 2 * 2**20


def check_test_pictures(dataset: Dataset, share: float, world: World, reporter: Reporter) -> None:
    """Looks at the header and the end of every test file, and decodes those that need it. No result is kept.

    10,000 JPEG files take 2 s of one core; to decode those of 500 x 375 would take 16 s. Damage within a file is found
    at the end of the training.

    Args:
        share: of unreadable pictures that the training accepts.

    Raises:
        DataError: more pictures are unreadable.
    """
    if dataset.test is None:
        return
    pictures = dataset.test.pictures
    own = pictures.subset(np.arange(len(pictures))[world.share])
    unreadable = world.everyones(_unreadable(own, reporter))
    check_unreadable(unreadable, len(pictures), share)
    if len(unreadable) == len(pictures):
        raise TrainingError("No test picture can be read.", "Fix the pictures.", code="nothing-readable")
    if unreadable:
        reporter.warn(f"{len(unreadable)} of {len(pictures)} test pictures cannot be read: {unreadable[0]}")


def _unreadable(pictures: Pictures, reporter: Reporter) -> list[str]:
    def look(index: int) -> bool | str:
        try:
            return pictures.source(index).seems_complete()
        except UnreadablePictureError as error:
            return error.cause
        except OSError:  # it vanished meanwhile
            return False

    found: list[str] = []
    doubtful: list[int] = []
    with (
        ThreadPoolExecutor(count_workers()) as pool,
        reporter.bar("Looking at the test pictures", len(pictures)) as advance,
    ):
        for index, result in enumerate(pool.map(look, range(len(pictures)))):
            if isinstance(result, str):
                found.append(result)
            elif not result:
                doubtful.append(index)
            advance(isinstance(result, str) or result)
        # Not with the range of values: the log of the split is for what the final figures are made of.
        others = SourcePictures(pictures.source(index) for index in doubtful)
        for _, picture in decode(others):
            if isinstance(picture, UnreadablePictureError):
                found.append(picture.cause)
            advance(1)
    return found


def check_space(folder: Path, setup: Setup, world: World, *, resumed: bool) -> None:
    """Raises `TrainingError` where the run's folder has too little room for what the training will write."""
    count = count_parameters(setup)
    checkpoint = _BYTES * (count.total + _STATES[setup.recipe.optimizer] * count.trainable)
    needed = PLOTS_BYTES + checkpoint + (0 if resumed else _BYTES * count.total)
    free = world.from_rank_zero(lambda: shutil.disk_usage(folder).free)
    if free < needed:
        raise TrainingError(
            f"The disk of {folder} has {size_in_words(free)} free. The weights and the checkpoint of this run need "
            f"{size_in_words(needed)}.",
            "Free some space, or name a folder on another disk with --output.",
            code="disk-full",
        )
