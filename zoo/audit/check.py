"""Looks for what is wrong with a dataset before a training: what `zoo check` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zoo.audit.findings import Report, conclude
from zoo.audit.scan import scan
from zoo.data.given import as_dataset, library_name
from zoo.data.prepare import load_dataset
from zoo.data.seen import default_crop
from zoo.data.types import Dataset
from zoo.errors import UsageError
from zoo.images.values import Range
from zoo.progress import Reporter
from zoo.recipes.keywords import suggesting
from zoo.recipes.place import PicturePlace

MAX_UNREADABLE = 0.01  # as in recipes


@suggesting
def check(
    data: str | os.PathLike[str] | Dataset | Any,
    *,
    val: str | os.PathLike[str] | None = None,
    test: str | os.PathLike[str] | None = None,
    encoding: str = "utf-8",
    data_root: str | None = None,
    pixel_range: Range | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    seed: int = 0,
    progress: bool = False,
) -> Report:
    """Decodes every picture of a dataset once, and reports its contents, duplicates and problems.

    Args:
        data: the place of a dataset (a folder, a list file or a name), a `zoo.data.Dataset`, or what
            `zoo.data.as_dataset` takes: pictures and labels, or a dataset of another library.
        val, test: folders or list files of the other splits, for a folder or a list file.
        encoding: of list files.
        data_root: folder that holds the named datasets.
        pixel_range: as in `zoo.specs.PreprocessSpec`.
        max_unreadable: the largest share of unreadable pictures that a training accepts.
        seed: of the training, which decides how a validation split is cut.
        progress: whether to show on stderr what `zoo check` shows there.

    Raises:
        UsageError: the dataset was not found, or an option has a wrong value.
        DataError: the dataset cannot be loaded at all: there are no pictures or no classes.
    """
    if not 0 <= max_unreadable <= 1:
        cause = f"The option max_unreadable cannot be {max_unreadable!r}."
        raise UsageError(cause, "It takes a share from 0 to 1.", code="impossible-option")
    place = PicturePlace(dataset="", encoding=encoding, data_root=data_root, pixel_range=pixel_range)
    name, loaded, native_size = _loaded(data, {"val": val, "test": test}, place)
    total = sum(len(split) for split in (loaded.train, loaded.val, loaded.test) if split)
    reporter = Reporter(quiet=not progress)
    with reporter.bar("Decoding", total) as advance:
        found = scan(loaded, advance)
    with reporter.console.status("Looking for duplicates"):
        report = conclude(
            found,
            loaded.classes,
            max_unreadable=max_unreadable,
            seed=seed,
            doubts=loaded.doubts,
            crop_fraction=default_crop(native_size),
        )
    return replace(report, name=name, source=loaded.source, notes=loaded.notes)


def _loaded(
    data: Any, others: Mapping[str, str | os.PathLike[str] | None], place: PicturePlace
) -> tuple[str, Dataset, int | None]:
    """The name, the pictures and the native size of a dataset."""
    if not isinstance(data, str | os.PathLike):
        if any(other is not None for other in others.values()):
            cause = "A loaded dataset has splits of its own, so val and test cannot be given."
            raise UsageError(cause, "Put them into the dataset.", code="dataset-with-own-splits")
        return library_name(data), as_dataset(data), None
    val, test = (None if path is None else os.fspath(path) for path in (others["val"], others["test"]))
    spec, loaded = load_dataset(replace(place, dataset=os.fspath(data), val=val, test=test))
    return spec.name, loaded, spec.native_size
