"""Makes the report of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zoo.audit.duplicates import Double, find_doubles
from zoo.audit.near_duplicates import MAX_DISTANCE, MIN_SIDE
from zoo.audit.problems import Problem, class_counts, find_problems
from zoo.audit.refused import refused
from zoo.audit.scan import Scan
from zoo.audit.shown import html_of, line_of
from zoo.data.seen import PHOTO_CROP, share_seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a check.

    Attributes:
        splits: facts of each split by name, as JSON holds them; sizes and shares are of its readable pictures.
        doubles: pairs of pictures that are equal or similar.
        problems: errors first; empty if there are none.
        scan: the facts of each picture.
        name, source, notes: of the dataset.
    """

    classes: tuple[str, ...]
    splits: dict[str, dict[str, Any]]
    doubles: tuple[Double, ...]
    problems: tuple[Problem, ...]
    scan: Scan
    name: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()

    __repr__, _repr_html_ = line_of, html_of

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def usable(self) -> bool:
        """Whether `zoo train` takes the dataset as it is."""
        return not any(problem.stops for problem in self.problems)


def conclude(
    found: Scan,
    classes: Sequence[str],
    *,
    max_unreadable: float,
    seed: int = 0,
    doubts: Sequence[str] = (),
    crop_fraction: float = PHOTO_CROP,
) -> Report:
    """The facts, duplicates and problems of a scanned dataset.

    Args:
        max_unreadable: the largest share of unreadable pictures that a training accepts.
        seed: of the training, which decides how a validation split is cut.
        doubts: of the dataset.
        crop_fraction: of the centre crop that a training would use.
    """
    doubles = find_doubles(found)
    splits = {split: _facts(found, split, classes, crop_fraction) for split in found.splits}
    return Report(
        classes=tuple(classes),
        splits=splits,
        doubles=doubles,
        scan=found,
        problems=find_problems(
            found,
            doubles,
            classes,
            refused(found, classes, max_unreadable, seed),
            doubts=doubts,
            train=splits["train"],
        ),
    )


def as_json(report: Report, found: Scan) -> dict[str, Any]:
    """The report as plain values, with names instead of numbers."""
    return {
        "classes": list(report.classes),
        "splits": report.splits,
        "near_duplicates": {"min_side": MIN_SIDE, "max_distance_bits": MAX_DISTANCE, "compared": len(found.thumbs)},
        "duplicates": [double_row(double, found, report.classes) for double in report.doubles],
        "problems": [asdict(problem) for problem in report.problems],
        "usable": report.usable,
    }


def double_row(double: Double, found: Scan, classes: Sequence[str]) -> dict[str, str | int]:
    """A pair as a row of duplicates.csv and of the JSON report."""
    a, b = double.a, double.b
    return {
        "path_a": found.name(a),
        "path_b": found.name(b),
        "kind": double.kind,
        "distance": double.distance,
        "split_a": found.split_of(a),
        "split_b": found.split_of(b),
        "label_a": classes[found.labels[a]],
        "label_b": classes[found.labels[b]],
    }


def _facts(found: Scan, split: str, classes: Sequence[str], crop_fraction: float) -> dict[str, Any]:
    numbers = found.numbers(split)
    readable = numbers[found.readable[numbers]]
    facts: dict[str, Any] = {
        "pictures": len(numbers),
        "unreadable": len(numbers) - len(readable),
        "classes": dict(zip(classes, class_counts(found, split, len(classes)).tolist(), strict=True)),
        "grey": int(found.grey[readable].sum()),
        "blank": int(found.blank[readable].sum()),
    }
    if len(readable):
        sizes = found.sizes[readable]
        by_area = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
        for name, place in (("smallest", 0), ("median", (len(sizes) - 1) // 2), ("largest", -1)):
            height, width = by_area[place].tolist()
            facts[name] = {"width": width, "height": height}
        facts["seen"] = round(share_seen((facts["median"]["width"], facts["median"]["height"]), crop_fraction), 3)
        ratios = np.quantile(sizes[:, 1] / sizes[:, 0], (0, 0.5, 1))
        facts["width_to_height"] = dict(zip(("least", "median", "most"), ratios.round(3).tolist(), strict=True))
    return facts
