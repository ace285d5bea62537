"""From a recipe to loaded data with the splits that training needs."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UnknownNameError, UsageError
from zoo.recipe import Recipe
from zoo.specs import DatasetRequest, DatasetSpec

VALIDATION_SHARE = 0.1


def find_dataset(recipe: Recipe) -> DatasetSpec:
    """What `recipe.dataset` names: a registered dataset, else a folder or a list file.

    A folder in the working directory that is called like a dataset is written `./mnist`.
    """
    from zoo.data.location import dataset_at, looks_like_path
    from zoo.registry import registry

    name = recipe.dataset
    try:
        if name.startswith((".", "/", "~")):
            return dataset_at(name, val=recipe.val, test=recipe.test, encoding=recipe.encoding)
        spec = registry().dataset(name).spec
    except UnknownNameError:
        if not looks_like_path(name):
            raise
        return dataset_at(name, val=recipe.val, test=recipe.test, encoding=recipe.encoding)
    if recipe.val or recipe.test:
        raise UsageError(
            f"'{name}' is a dataset with splits of its own.",
            f"Leave out --val and --test, or write a folder of that name as ./{name}",
        )
    return spec


def load_dataset(recipe: Recipe) -> tuple[DatasetSpec, Dataset]:
    """Finds and loads the recipe's dataset."""
    spec = find_dataset(recipe)
    root = Path(recipe.data_root) if recipe.data_root else platformdirs.user_cache_path("visionzoo") / "datasets"
    return spec, spec.load(DatasetRequest(root=root))


def training_splits(dataset: Dataset, seed: int) -> tuple[Split, Split]:
    """The pictures to train on, and those that choose the checkpoint: the dataset's own, or a tenth of train."""
    from zoo.data.splits import split_validation

    if dataset.val is not None:
        return dataset.train, dataset.val
    train, val = split_validation(dataset.train, len(dataset.classes), VALIDATION_SHARE, seed)
    if not len(val):
        raise DataError(
            "There are too few pictures to keep some for validation.", "Give at least two pictures per class."
        )
    return train, val


def final_split(dataset: Dataset, seed: int) -> tuple[str, Split]:
    """The pictures of the final figures, with the name to report: `test`, or `validation` where there is no test."""
    if dataset.test is not None:
        return "test", dataset.test
    return "validation", training_splits(dataset, seed)[1]
