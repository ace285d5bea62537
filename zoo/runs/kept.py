"""A few evaluation pictures inside the run folder, so that an export can be checked after the dataset has moved."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zoo.data.list_files import read_list
from zoo.data.pictures import FilePictures
from zoo.data.types import Split
from zoo.errors import ZooError
from zoo.files import work_folder

FOLDER, LIST = "pictures", "list.csv"
COUNT = 32
MAX_BYTES = 32 * 2**20  # of all of them, but for the first two, which a parity check needs


def keep_pictures(run_folder: Path, split: Split, classes: Sequence[str], indices: Iterable[int]) -> None:
    """Copies pictures into the run folder, as files; those that were files keep every byte.

    Args:
        indices: of the pictures in `split`, the most important first.

    Raises:
        OSError: a file cannot be read or written.
    """
    target = run_folder / FOLDER
    with work_folder(run_folder) as place:
        new, total = place / "new", 0
        new.mkdir()
        with (new / LIST).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "label"))
            for number, index in enumerate(indices):
                content, suffix = split.pictures.source(index).encoded()
                total += len(content)
                if number == COUNT or (number >= 2 and total > MAX_BYTES):  # noqa: PLR2004
                    break
                name = f"{number:02}{suffix}"
                (new / name).write_bytes(content)
                rows.writerow((name, classes[split.labels[index]]))
        if target.exists():
            target.rename(place / "old")
        new.rename(target)


def kept_pictures(run_folder: Path, classes: Sequence[str]) -> Split | None:
    """What `keep_pictures` copied; None where there is nothing, or nothing that can be used."""
    try:
        listing = read_list(run_folder / FOLDER / LIST)
        labels = np.array([list(classes).index(label) for label in listing.labels], dtype=np.int64)
    except (OSError, ValueError, ZooError):
        return None
    return Split(FilePictures(listing.files), labels)
