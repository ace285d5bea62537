"""What the run hooks of plugins are told (`zoo.hookspecs`): small frozen facts.

Their values are numbers, text, paths, and tuples and read-only mappings of them. `plain()` returns them as JSON values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from zoo.specs import EpochMetrics

Ending = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The base class: makes mappings and lists read-only, however deep they are."""

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _frozen(getattr(self, each.name)))

    def plain(self) -> dict[str, Any]:
        """The facts as new JSON values. Paths are text."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Facts):
    """A training that begins.

    Attributes:
        run: its folder, absolute.
        name: of the run: the folder's name.
        backbone: its name, as in the recipe.
        dataset: its name.
        classes: names of the classes, in the order of the logits.
        epochs: how many it has, if nothing ends it early.
        options: the recipe, as in `recipe.toml`.
        resumed: whether it goes on from a checkpoint.
    """

    run: Path
    name: str
    backbone: str
    dataset: str
    classes: tuple[str, ...]
    epochs: int
    options: Mapping[str, Any]
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochEnded(Facts):
    """An epoch that ended.

    Attributes:
        run, name: as in `RunStarted`.
        epoch: its number, from 1.
        row: the epoch's row of `metrics.csv`: losses, accuracies from 0 to 1, seconds.
        better: whether it is the best epoch so far.
    """

    run: Path
    name: str
    epoch: int
    row: EpochMetrics
    better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Facts):
    """A training that ended.

    Attributes:
        run, name: as in `RunStarted`.
        status: `finished`, `failed`, or `interrupted` (Ctrl-C).
        error: one line that says what failed, or empty text.
        best_epoch: the epoch whose weights are kept, from 1. 0 where no epoch ended.
        validation: `val_loss` and `val_top1` of that epoch.
        metrics_split, metrics: the final figures and their split. Empty where they were not computed.
        weights: the file with the best weights, or None.
        training_seconds: over all parts of a resumed training.
    """

    run: Path
    name: str
    status: Ending
    error: str
    best_epoch: int
    validation: Mapping[str, float]
    metrics_split: str
    metrics: Mapping[str, Any]
    weights: Path | None
    training_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported(Facts):
    """A file that was exported and checked.

    Attributes:
        run: folder of the training, absolute. None for a network of a program's own (`zoo.Classifier`).
        path: the file, absolute.
        weights: the file with its weights, if they are in a file of their own.
        format: name of its format.
        card: its card, as `zoo info --json` prints it, without example pictures.
    """

    run: Path | None
    path: Path
    weights: Path | None
    format: str
    card: Mapping[str, Any]


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(each) for name, each in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Path):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
