"""From the place of pictures to loaded data, with the splits that training needs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from zoo.data.checked import checked
from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UnknownNameError, UsageError
from zoo.images.values import Range
from zoo.recipes.place import PicturePlace
from zoo.specs import DatasetRequest, DatasetSpec

if TYPE_CHECKING:
    from zoo.registry import Registered

VALIDATION_SHARE = 0.1


def find_dataset(place: PicturePlace) -> DatasetSpec:
    """What `place.dataset` names: a registered dataset, else a folder or a list file.

    If a folder in the working directory has the name of a dataset, write it as `./mnist`.
    """
    from zoo.data.dataset_path import dataset_at

    spec = registered_dataset(place.dataset)
    if spec is None:
        return dataset_at(place.dataset, val=place.val, test=place.test, encoding=place.encoding)
    if place.val or place.test:
        raise UsageError(
            f"The dataset '{spec.name}' has splits of its own, so --val and --test cannot be given.",
            f"Remove these options, or write a folder of that name as ./{spec.name}",
            code="dataset-with-own-splits",
        )
    return spec


def registered_dataset(name: str) -> DatasetSpec | None:
    """The dataset with this name, or None if it is a path. Raises `UnknownNameError` where it is neither."""
    entry = dataset_entry(name)
    return replace(entry.spec, load=partial(_load, entry)) if entry else None


def _load(entry: Registered[DatasetSpec], request: DatasetRequest) -> Dataset:
    from zoo.registry.factories import calling, owner_of, wrong_result

    owner = owner_of(entry)
    with calling(owner, "load"):
        found: object = entry.spec.load(request)
    if not isinstance(found, Dataset):
        raise wrong_result(owner, "load", found, "a zoo.data.Dataset")
    return found


def dataset_entry(name: str) -> Registered[DatasetSpec] | None:
    """As `registered_dataset`, with the plugin that registers it."""
    from zoo.data.dataset_path import looks_like_path
    from zoo.registry import registry

    if name.startswith((".", "/", "~")):
        return None
    try:
        return registry().dataset(name)
    except UnknownNameError:
        if looks_like_path(name):
            return None
        raise


def load_dataset(place: PicturePlace) -> tuple[DatasetSpec, Dataset]:
    """Finds and loads a dataset."""
    spec = find_dataset(place)
    return spec, load_from(spec, place.data_root, place.pixel_range)


def load_from(spec: DatasetSpec, data_root: str | None, pixel_range: Range | None = None) -> Dataset:
    """Loads a dataset from its folder in `data_root`; None for the user's cache folder.

    Args:
        pixel_range: as in `zoo.specs.PreprocessSpec`.
    """
    root = Path(data_root) if data_root else platformdirs.user_cache_path("visionzoo") / "datasets"
    found = checked(spec.load(DatasetRequest(root=root)), spec.name)
    if pixel_range is None:
        return found
    val, test = (split and split.within(pixel_range) for split in (found.val, found.test))
    return replace(found, train=found.train.within(pixel_range), val=val, test=test)


def training_splits(dataset: Dataset, seed: int, limit: int | None = None) -> tuple[Split, Split]:
    """The training split and the validation split: the dataset's own, or a tenth of its training pictures.

    Args:
        limit: largest number of training pictures, a stratified part. The other pictures are in neither split.
    """
    from zoo.data.splits import limited, split_validation

    train, val = dataset.train, dataset.val
    if val is None:
        train, val = split_validation(train, len(dataset.classes), VALIDATION_SHARE, seed)
        if not len(val):
            raise DataError(
                "There are too few pictures for a validation split.",
                "Give at least two pictures per class.",
                code="too-few-for-validation",
            )
    if limit is None:
        return train, val
    present = len(set(train.labels.tolist()))
    if limit < present:
        raise UsageError(
            f"{limit} pictures are too few for {present} classes.",
            f"Give --limit {present} or more, or remove --limit.",
            code="limit-below-classes",
        )
    return limited(train, len(dataset.classes), limit, seed), val


def final_split(dataset: Dataset, seed: int) -> tuple[str, Split]:
    """The split for the final figures, and its name: `test`, or `validation` for a dataset without test split."""
    if dataset.test is not None:
        return "test", dataset.test
    return "validation", training_splits(dataset, seed)[1]
