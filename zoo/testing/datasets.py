"""The rules of datasets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.checked import checked
from zoo.data.types import Dataset, Split
from zoo.errors import DataError, PluginError, ZooError, raised
from zoo.registry.validation import PROVIDED_NAME, spec_fault
from zoo.specs import DatasetRequest, DatasetSpec
from zoo.testing.rules import Report, Rule, SkippedRuleError, broken, follow

LOOKED_AT = 32  # pictures of each split
_SPLITS = ("train", "val", "test")


@dataclass(eq=False)
class DatasetCase:
    """A dataset that is looked at: it is loaded once. One that is optional may lack its files."""

    spec: DatasetSpec
    request: DatasetRequest
    optional: bool = False
    dataset: Dataset | None = None

    @property
    def loaded(self) -> Dataset:
        assert self.dataset is not None
        return self.dataset

    @property
    def splits(self) -> dict[str, Split]:
        found = {name: getattr(self.loaded, name) for name in _SPLITS}
        return {name: split for name, split in found.items() if split is not None}

    def sample(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Pictures of each split, evenly spaced: the split's name, the index, uint8 `[H, W, 3]`."""
        for name, split in self.splits.items():
            for index in np.unique(np.linspace(0, len(split) - 1, min(LOOKED_AT, len(split))).round().astype(int)):
                yield name, int(index), split.pictures[int(index)]


def _valid(case: DatasetCase) -> None:
    if fault := spec_fault(case.spec, PROVIDED_NAME):
        raise broken(fault, "Give the field a value as zoo.specs.DatasetSpec describes it.")


def _loads(case: DatasetCase) -> None:
    try:
        loaded = case.spec.load(case.request)
    except DataError as error:
        if case.optional:
            raise SkippedRuleError(f"It could not be loaded: {error.cause}") from error
        raise
    case.dataset = checked(loaded, case.spec.name)


def _classes(case: DatasetCase) -> None:
    found, said = len(case.loaded.classes), case.spec.num_classes
    if said not in (None, found):
        raise broken(f"It has {found} classes, and the spec says {said}.", "Correct num_classes, or leave it out.")
    unseen = sorted(set(range(found)) - set(case.loaded.train.labels.tolist()))
    if unseen:
        raise broken(
            f"No training picture shows the class '{case.loaded.classes[unseen[0]]}'.",
            "Remove the class, or correct the labels: they count from 0 in the order of the classes.",
        )


def _pictures(case: DatasetCase) -> None:
    for name, index, each in case.sample():
        picture: Any = each  # other people's code
        fits = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3  # noqa: PLR2004
        if not fits or picture.shape[2] != 3:  # noqa: PLR2004
            found = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else type(picture)
            raise broken(
                f"Picture {index} of split {name} is {found}, not uint8 [H, W, 3].",
                "Give ArrayPictures, FilePictures, or what zoo.data.as_pictures returns.",
            )


def _as_described(case: DatasetCase) -> None:
    size = case.spec.native_size
    for name, index, picture in case.sample():
        if size is not None and picture.shape[:2] != (size, size):
            raise broken(
                f"Picture {index} of split {name} has {picture.shape[0]} x {picture.shape[1]} pixels, "
                f"and native_size is {size}.",
                "Correct native_size, or leave it out where the sizes differ.",
            )
        if case.spec.channels == "grey" and not (picture == picture[..., :1]).all():
            raise broken(
                f"Picture {index} of split {name} has colours, and channels is 'grey'.", "Give channels='rgb'."
            )


def _values(case: DatasetCase) -> None:
    largest = max(int(picture.max()) for _, _, picture in case.sample())
    if largest <= 1:
        raise broken(
            f"No value of the pictures that were looked at is above {largest}.",
            "Give uint8 from 0 to 255, not values that were scaled to 0..1.",
        )


def _repeats(case: DatasetCase) -> None:
    again = checked(case.spec.load(case.request), case.spec.name)
    for name, split in case.splits.items():
        other = getattr(again, name)
        if again.classes != case.loaded.classes or other is None or not np.array_equal(other.labels, split.labels):
            raise broken(
                f"Loaded a second time, its classes or the labels of split {name} differ.",
                "Sort the files, and give random numbers a fixed seed.",
            )
        if len(split) and not np.array_equal(other.pictures[0], split.pictures[0]):
            raise broken(
                f"Loaded a second time, the first picture of split {name} differs.",
                "Sort the files, and give random numbers a fixed seed.",
            )


def _apart(case: DatasetCase) -> None:
    seen: dict[bytes, str] = {}
    for name, index, picture in case.sample():
        where = seen.setdefault(picture.tobytes() + bytes(str(picture.shape), "ascii"), name)
        if where != name:
            raise broken(
                f"Picture {index} of split {name} is also in split {where}.",
                "Put each picture into one split: figures on pictures of the training say nothing.",
            )


def _missing(case: DatasetCase) -> None:
    with tempfile.TemporaryDirectory(prefix="zoo-testing-") as folder:
        try:
            case.spec.load(DatasetRequest(root=Path(folder), download=False))
        except ZooError:
            return
        except Exception as error:
            raise broken(
                f"Where its files are missing, 'load' raises {raised(error)}.",
                "Raise zoo.errors.DataError with a sentence of cause and one of remedy.",
            ) from error
    raise SkippedRuleError("It needs no files in the folder of datasets.")


RULES: tuple[Rule[DatasetCase], ...] = (
    Rule(name="valid", says="The fields of the spec have the types and values of `DatasetSpec`.", check=_valid),
    Rule(
        name="loads",
        says="`load` returns a `zoo.data.Dataset` with training pictures, and labels from 0 to K - 1.",
        check=_loads,
        after=("valid",),
    ),
    Rule(
        name="classes",
        says="There are as many classes as the spec says, and training pictures of each.",
        check=_classes,
        after=("loads",),
    ),
    Rule(
        name="pictures",
        says="Pictures are uint8 `[H, W, 3]`.",
        check=_pictures,
        after=("loads",),
    ),
    Rule(
        name="as-described",
        says="Pictures have the `native_size` of the spec, and no colours where `channels` is grey.",
        check=_as_described,
        after=("pictures",),
    ),
    Rule(name="values", says="Values go beyond 1: they were not scaled to 0..1.", check=_values, after=("pictures",)),
    Rule(
        name="repeats",
        says="Loaded again, it has the same classes, labels and pictures.",
        check=_repeats,
        after=("pictures",),
    ),
    Rule(name="apart", says="No picture is in two splits (of those looked at).", check=_apart, after=("pictures",)),
    Rule(
        name="missing",
        says="Where its files are missing, `load` raises an error with cause and remedy.",
        check=_missing,
        after=("valid",),
    ),
)


def report_dataset(spec: DatasetSpec, request: DatasetRequest, *, optional: bool = False) -> Report:
    """Looks at all rules of a dataset. One that is optional is skipped where its loader raises `DataError`."""
    if not isinstance(spec, DatasetSpec):
        raise PluginError("What was given is not a DatasetSpec.", "Give one, as the hook zoo_datasets returns it.")
    return follow(f"the dataset '{spec.name}'", RULES, DatasetCase(spec, request, optional))
