"""Example pictures for a card: whether they may be copied, which are taken, and how they are encoded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zoo.artifacts.examples import MAX_EXAMPLE_BYTES, MAX_EXAMPLE_SIDE, Example
from zoo.data.splits import evenly
from zoo.errors import UnknownNameError, UnreadablePictureError, UsageError
from zoo.registry.given import THIS_PROCESS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo.data.types import Split
    from zoo.exporting.source import Source
    from zoo.runs.run import Run

# Under these, everybody may pass on copies for any purpose, with the names of the dataset and its makers: as SPDX
# (https://spdx.org/licenses/) and publishers write them, without hyphens and versions.
_FREE = {
    *("cc0", "cc by", "cc by sa", "public domain", "pddl", "odc by", "odbl", "cdla permissive"),
    *("mit", "isc", "apache", "bsd", "bsd 2 clause", "bsd 3 clause"),
}
_NAMED = "CC0, CC BY, CC BY-SA, MIT, BSD, Apache and open data licences"
_VERSION = re.compile(r"( licen[cs]e)?( v?[0-9.]+)?( licen[cs]e| universal| international)?$")
# A line about several parts may end in a free licence and still restrict another part.
_RESTRICTED = re.compile(r"\b(only|not|no|non|nc|nd|noncommercial)\b")


def may_be_copied(licence: str) -> bool:
    """Whether a licence lets everybody pass on copies of the pictures.

    Args:
        licence: as of `DatasetSpec.licence`: its last part, behind a comma or semicolon, is the terms of use.
    """
    words = re.sub(r"[\s\-_]+", " ", licence.lower())
    terms = re.split("[;,]", words)[-1].strip(" .")
    return _VERSION.sub("", terms, count=1) in _FREE and not _RESTRICTED.search(words)


def check_examples(source: Source, count: int) -> str:
    """A sentence for the user about the pictures that the file will hold; empty if there is nothing to warn of.

    Raises:
        UsageError: the pictures have no labels, or their licence does not allow copies.
    """
    if not count:
        return ""
    if not source.labelled:
        raise UsageError(
            "Example pictures need labels, and these pictures have none.",
            "Leave out the examples, or give a folder with one folder per class.",
            code="examples-without-labels",
        )
    licence = source.licence()
    if licence is None:
        return "The file will hold some of your own pictures as examples: everyone who gets the file can see them."
    if not may_be_copied(licence):
        raise UsageError(
            f"The licence of the dataset does not allow example pictures in a file: {licence or 'it names none'}.",
            f"Leave out the examples. They are taken under {_NAMED}.",
            code="examples-licence",
        )
    return ""


def licence_of_run(run: Run) -> str | None:
    """The licence of a run's pictures, empty if nobody knows. None if they are the user's own: from a path, or objects.

    Pictures that have moved to another place are still those of the dataset that the training named.
    """
    from zoo.runs.run import Run

    trained_on = Run(run.path).recipe.dataset
    places = [_registered_licence(name) for name in dict.fromkeys((trained_on, run.recipe.dataset))]
    named = [licence for licence in (run.info.dataset.licence or None, *places) if licence is not None]
    # The one that forbids it decides; an empty one says nothing against what was recorded.
    return min(filter(None, named), key=may_be_copied, default="" if named else None)


def _registered_licence(name: str) -> str | None:
    from zoo.data.prepare import dataset_entry

    if not name:  # adopted without pictures
        return None
    try:
        entry = dataset_entry(name)
    except UnknownNameError:  # of a plugin that is missing, or of an object in another process
        return "" if not name.startswith("my-") else None
    if entry is None or (entry.distribution == THIS_PROCESS and not entry.spec.licence):
        return None
    return entry.spec.licence


def chosen_examples(split: Split, classes: Sequence[str], count: int, seed: int) -> tuple[Example, ...]:
    """Readable pictures of a split, as evenly over the classes as their number allows, in the order of the classes.

    Args:
        count: how many; fewer if the split has no more.
        seed: of the choice.
    """
    found: list[tuple[int, Example]] = []
    for index in evenly(split.labels, seed).tolist() if count else ():
        try:
            picture = split.pictures[index]
        except UnreadablePictureError:
            continue
        label = int(split.labels[index])
        found.append((label, Example(label=classes[label], file=encoded(picture))))
        if len(found) == count:
            break
    return tuple(example for _, example in sorted(found, key=lambda pair: pair[0]))


def encoded(picture: np.ndarray) -> bytes:
    """A picture, uint8 `[H, W, 3]`, as a file of at most `MAX_EXAMPLE_BYTES` and `MAX_EXAMPLE_SIDE` pixels a side.

    PNG keeps every pixel if it is small enough. Nothing but pixels is kept: no EXIF, no place, no name.
    """
    grey = (picture == picture[..., :1]).all()
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0] if grey else picture))
    return next(file for file in _files(image) if len(file) <= MAX_EXAMPLE_BYTES)


def _files(image: Image.Image) -> Iterator[bytes]:
    """Smaller and smaller files of a picture."""
    side = min(MAX_EXAMPLE_SIDE, max(image.size))
    while True:
        part = side / max(image.size)
        size = (max(1, round(image.width * part)), max(1, round(image.height * part)))
        smaller = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        yield _saved(smaller, "PNG", optimize=True)
        for quality in (90, 75, 50):
            yield _saved(smaller, "JPEG", quality=quality)
        side //= 2


def _saved(image: Image.Image, form: str, **options: int) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
