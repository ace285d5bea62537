"""Names for what a program gives to a training itself: its own networks and its own pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.data import as_dataset
from zoo.data.given import library_name
from zoo.errors import UsageError
from zoo.models.own import backbone_from
from zoo.registry import registry
from zoo.specs import BackboneSpec, DatasetSpec

if TYPE_CHECKING:
    from torch import nn

    from zoo.data import Dataset

Factory = Callable[[int], "nn.Module"]

# A run finds what it was trained with by name, as long as this process lives.
_named: list[tuple[object, str]] = []


def backbone_name(given: Any, head: str | None = None) -> str:
    """The name under which the registry knows a backbone; a spec or a function is registered now.

    Args:
        given: a name, a spec, or a function that takes the number of classes and returns a network.
        head: of the function's network, as of `zoo.models.own.backbone_from`.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, BackboneSpec):
        registry().register(given)
        return given.name
    built = hasattr(given, "parameters") and not isinstance(given, type)
    if built or not callable(given):
        what = "a built network" if built else f"a {type(given).__name__}"
        raise UsageError(
            f"The argument backbone is {what}.",
            "Give a name, a BackboneSpec, or a function that takes the number of classes and returns a network.",
            code="backbone-type",
        )
    own = getattr(getattr(given, "func", given), "__name__", type(given).__name__)
    name = _name_for(given, "network" if own == "<lambda>" else own, again=own != "<lambda>")
    registry().register(backbone_from(given, name, head))
    return name


def dataset_name(given: Any) -> str:
    """The name or path of a dataset; another object is registered now. Raises `DataError` for another object.

    Args:
        given: a name, a path, or what `zoo.data.as_dataset` takes.
    """
    if isinstance(given, str | Path):
        return str(given)
    known = next((name for each, name in _named if each is given), None)
    if known:
        return known
    dataset = as_dataset(given)
    name = _name_for(given, library_name(given))
    registry().register(_spec(name, dataset))
    return name


def _spec(name: str, dataset: Dataset) -> DatasetSpec:
    array = dataset.train.pictures.array
    square = array is not None and array.shape[1] == array.shape[2]
    return DatasetSpec(
        name=name,
        load=lambda _: dataset,
        native_size=int(array.shape[1]) if array is not None and square else None,
        channels="grey" if array is not None and array.ndim == 3 else "rgb",  # noqa: PLR2004
        num_classes=len(dataset.classes),
        description="given in Python",
    )


def _name_for(given: object, word: str, *, again: bool = False) -> str:
    """A name that no other object of this process has; `my-` keeps it apart from those of plugins.

    Args:
        again: whether an object of the same word takes the place of an earlier one, as a function defined again does.
    """
    stem = f"my-{re.sub(r'[^A-Za-z0-9._+-]+', '-', word).strip('-') or 'own'}"
    taken = {name for each, name in _named if each is not given}
    name, number = stem, 1
    while name in taken and not again:
        number += 1
        name = f"{stem}-{number}"
    _named.append((given, name))
    return name
