"""Where pictures and plugin files are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGINS_HELP = "Python file with a plugin, such as ./my_zoo.py: see docs/plugins.md. It may be given several times."


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePlace:
    """A dataset, and how to get its splits.

    Attributes:
        dataset: name of a registered dataset, or path of a folder or a list file.
        val, test: folders or list files of the other splits.
        encoding: of list files.
        data_root: folder that holds the named datasets; None for the user's cache folder.
        seed: of the cut that makes a validation split where there is none.
        pixel_range: as in `zoo.specs.PreprocessSpec`.
        limit: the most pictures to train on, None for all of them.
    """

    dataset: str
    val: str | None = None
    test: str | None = None
    encoding: str = "utf-8"
    data_root: str | None = None
    seed: int = 0
    pixel_range: tuple[float, float] | None = None
    limit: int | None = None


def moved(place: PicturePlace, dataset: str) -> dict[str, Any]:
    """The parts of a place that change where its pictures move; paths inside the old one move along."""
    old, new = Path(place.dataset), Path(dataset).expanduser().absolute()
    inside = {
        name: str(new / Path(path).relative_to(old))
        for name, path in (("val", place.val), ("test", place.test))
        if path and Path(path).is_relative_to(old)
    }
    return {"dataset": str(new), **inside}


def as_files(value: Any) -> Any:
    """Paths of files as a tuple of text: one path stands for itself. What is neither is returned as it is."""
    if isinstance(value, str | Path):
        return (str(value),)
    return tuple(str(each) for each in value) if isinstance(value, list | tuple) else value


def with_files(recorded: Iterable[str], given: Iterable[str]) -> tuple[str, ...]:
    """The recorded plugin files and the given ones. A given file replaces a recorded one of its name."""
    given = tuple(given)
    names = {Path(path).name for path in given}
    return (*(path for path in recorded if Path(path).name not in names), *given)
