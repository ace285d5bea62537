"""Labels in the order of a model's classes, which need not be that of the dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.data.class_names import matched
from zoo.data.listing import quoted, some
from zoo.data.types import Split
from zoo.errors import DataError, nearest


def in_classes(split: Split, own: Sequence[str], classes: Sequence[str], origin: str) -> Split:
    """Renumbers labels from `own` to `classes`, by name."""
    if not len(split):
        raise DataError(f"'{origin}' holds no pictures to evaluate on.", "Name another dataset or --split.")
    index = {name: number for number, name in enumerate(classes)}
    own = [name if name in index else matched(name, classes) or name for name in own]
    present = [own[label] for label in np.unique(split.labels)]
    unknown = [name for name in present if name not in index]
    if unknown:
        near = nearest(unknown[0], classes, most=1)
        hint = f" (is '{unknown[0]}' its '{near[0]}'?)" if near else ""
        raise DataError(
            f"'{origin}' has pictures of {some(quoted(unknown), most=10)}, which the model does not know.",
            f"Its classes are {some(quoted(classes), most=10)}{hint}; rename or leave out those pictures.",
        )
    numbers = np.array([index.get(name, -1) for name in own], dtype=np.int64)
    return Split(split.pictures, numbers[split.labels])
