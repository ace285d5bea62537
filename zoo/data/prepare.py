"""From a recipe to loaded data with the splits that training needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UnknownNameError, UsageError
from zoo.recipes.recipe import Recipe
from zoo.specs import DatasetRequest, DatasetSpec

VALIDATION_SHARE = 0.1


def find_dataset(recipe: Recipe) -> DatasetSpec:
    """What `recipe.dataset` names: a registered dataset, else a folder or a list file.

    A folder in the working directory that is called like a dataset is written `./mnist`.
    """
    from zoo.data.dataset_path import dataset_at

    spec = registered_dataset(recipe.dataset)
    if spec is None:
        return dataset_at(recipe.dataset, val=recipe.val, test=recipe.test, encoding=recipe.encoding)
    if recipe.val or recipe.test:
        raise UsageError(
            f"'{spec.name}' is a dataset with splits of its own.",
            f"Leave out --val and --test, or write a folder of that name as ./{spec.name}",
        )
    return spec


def registered_dataset(name: str) -> DatasetSpec | None:
    """The dataset of that name, None where it is a path. Raises `UnknownNameError` where it is neither."""
    from zoo.data.dataset_path import looks_like_path
    from zoo.registry import registry

    if name.startswith((".", "/", "~")):
        return None
    try:
        return registry().dataset(name).spec
    except UnknownNameError:
        if looks_like_path(name):
            return None
        raise


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths: its run works from any working directory."""
    places = {name: getattr(recipe, name) for name in ("val", "test", "data_root")}
    if registered_dataset(recipe.dataset) is None:
        places["dataset"] = recipe.dataset
    if recipe.weights not in ("auto", "pretrained", "none"):
        places["weights"] = recipe.weights
    absolute: dict[str, Any] = {
        name: str(Path(place).expanduser().absolute()) for name, place in places.items() if place
    }
    return replace(recipe, **absolute)


def load_dataset(recipe: Recipe) -> tuple[DatasetSpec, Dataset]:
    """Finds and loads the recipe's dataset."""
    spec = find_dataset(recipe)
    root = Path(recipe.data_root) if recipe.data_root else platformdirs.user_cache_path("visionzoo") / "datasets"
    return spec, spec.load(DatasetRequest(root=root))


def training_splits(dataset: Dataset, seed: int, limit: int | None = None) -> tuple[Split, Split]:
    """The pictures to train on, and those that choose the checkpoint: the dataset's own, or a tenth of train.

    Args:
        limit: the most pictures to train on, a stratified part; the others are left out of both.
    """
    from zoo.data.splits import limited, split_validation

    train, val = dataset.train, dataset.val
    if val is None:
        train, val = split_validation(train, len(dataset.classes), VALIDATION_SHARE, seed)
        if not len(val):
            raise DataError(
                "There are too few pictures to keep some for validation.", "Give at least two pictures per class."
            )
    if limit is None:
        return train, val
    present = len(set(train.labels.tolist()))
    if limit < present:
        raise UsageError(
            f"{limit} pictures are too few for {present} classes.", f"Give --limit {present} or more, or leave it out."
        )
    return limited(train, len(dataset.classes), limit, seed), val


def final_split(dataset: Dataset, seed: int) -> tuple[str, Split]:
    """The pictures of the final figures, with the name to report: `test`, or `validation` where there is no test."""
    if dataset.test is not None:
        return "test", dataset.test
    return "validation", training_splits(dataset, seed)[1]
