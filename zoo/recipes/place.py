"""Where pictures are."""

from __future__ import annotations

from dataclasses import dataclass


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
