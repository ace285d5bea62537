"""Files that are listed twice: a picture must not be on both sides of a split, or in two classes.

Files are compared by identity. A link and its target are one file; two copies of a picture are two files, which
`zoo check` finds by their pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from zoo.data.listing import Listing
from zoo.data.stamps import Identity, identity
from zoo.errors import DataError

Places = Mapping[Identity, int]


def without_repeats(part: Listing) -> tuple[Listing, Places]:
    """The split with each file once, with a note of how many were left out, and the place of each file in it.

    Raises:
        DataError: a file is listed with two labels.
    """
    first: dict[Identity, int] = {}
    kept = []
    for index, path in enumerate(part.files):
        known = first.setdefault(identity(path), index)
        if known == index:
            kept.append(index)
        elif part.labels[known] != part.labels[index]:
            raise _two_labels(part, known, part, index)
    places = {key: place for place, key in enumerate(first)}
    repeats = len(part.files) - len(kept)
    if not repeats:
        return part, places
    again = next(index for index in range(len(part.files)) if index >= len(kept) or kept[index] != index)
    note = (
        f"{repeats:,} of {len(part.files):,} pictures in '{part.origin}' are listed more than once, for example "
        f"'{part.files[again]}'. Each file is used once."
    )
    once = replace(
        part,
        files=[part.files[index] for index in kept],
        labels=[part.labels[index] for index in kept],
        doubts=(*part.doubts, note),
    )
    return once, places


def shared_notes(parts: Mapping[str, Listing], places: Mapping[str, Places]) -> list[str]:
    """One sentence for each two splits that share files.

    Args:
        parts, places: by `train`, `val` and `test`, as `without_repeats` returns them.

    Raises:
        DataError: a file has another label in another split, or all files of a split are in train.
    """
    notes = []
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if one not in parts or other not in parts:
            continue
        shared = places[one].keys() & places[other].keys()
        for key in shared:
            a, b = places[one][key], places[other][key]
            if parts[one].labels[a] != parts[other].labels[b]:
                raise _two_labels(parts[one], a, parts[other], b)
        total = len(parts[other].files)
        if one == "train" and len(shared) == total:
            raise DataError(
                f"All {total:,} pictures of {other} ('{parts[other].origin}') are in train too.",
                f"Give other pictures for {other}, or none: a tenth of train is then set aside for validation.",
                code="split-in-train",
            )
        if shared and one == "train":
            notes.append(
                f"{len(shared):,} pictures are in both train and {other}, so the figures on {other} will be too good."
            )
        elif shared:
            notes.append(f"{len(shared):,} pictures are in both val and test, so the test is not independent.")
    return notes


def _two_labels(one: Listing, a: int, other: Listing, b: int) -> DataError:
    first, second = one.files[a], other.files[b]
    names = f"'{first}'" if first == second else f"'{first}' and '{second}' are one file, which"
    return DataError(
        f"{names} has two labels: '{one.labels[a]}' and '{other.labels[b]}'.",
        "Keep it in one class. A classifier gives one class to each picture.",
        code="file-with-two-labels",
    )
