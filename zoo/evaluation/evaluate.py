"""Measures a model on pictures with known classes: what `zoo evaluate` prints."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from zoo.errors import DataError, UsageError
from zoo.evaluation.evaluation import Evaluation
from zoo.evaluation.given import given_set
from zoo.evaluation.pictures import EvalSet, choose
from zoo.evaluation.pictures import evaluate as evaluate_on
from zoo.evaluation.target import EvalTarget, place_of, target_of, warnings_of
from zoo.progress import Reporter
from zoo.recipes.keywords import suggesting

if TYPE_CHECKING:
    from zoo.evaluation.given import Data
    from zoo.evaluation.looking import Look
    from zoo.evaluation.target import Model

SplitName = Literal["test", "val", "train"]
Device = Literal["auto", "cpu", "cuda"]


@suggesting
def evaluate(
    model: Model,
    data: Data | None = None,
    *,
    split: SplitName | None = None,
    encoding: str | None = None,
    data_root: str | None = None,
    device: Device = "auto",
    progress: bool = False,
) -> Evaluation:
    """Measures a model on pictures with known classes.

    Args:
        model: a `Run` or its folder, an exported file, a `Predictor`, or a `zoo.Classifier`.
        data: the place of a dataset (a folder, a list file or a name), a `zoo.data.Dataset`, or a `zoo.data.Split`
            whose labels count in the model's classes. None: the pictures that the model was trained with.
        split: of the dataset; by default test, else val.
        encoding: of a list file; by default utf-8.
        data_root: folder that holds the named datasets.
        device: where to compute: `auto` is a GPU for runs and classifiers if there is one, and the CPU for files.
        progress: whether to show a bar on stderr.

    Raises:
        UsageError: the model, dataset or split was not found, or an option has a wrong value.
        ArtifactError: the file is damaged or was not written by `zoo export`.
        DataError: there are no readable pictures, or pictures of classes that the model does not know.
    """
    return evaluated(
        model, data, split=split, encoding=encoding, data_root=data_root, device=device, progress=progress
    )[0]


def evaluated(
    model: Model,
    data: Data | None,
    *,
    split: SplitName | None,
    encoding: str | None,
    data_root: str | None,
    device: Device,
    progress: bool,
) -> tuple[Evaluation, Look]:
    """As `evaluate`, and what makes heat maps. That keeps the model in memory."""
    for name, value, known in (("split", split, (None, *get_args(SplitName))), ("device", device, get_args(Device))):
        if value not in known:
            remedy = f"It takes one of {', '.join(map(str, known))}."
            raise UsageError(f"The option {name} cannot be {value!r}.", remedy, code="impossible-option")
    target = target_of(model)
    if data is None or isinstance(data, str | os.PathLike):
        place = None if data is None else os.fspath(data)
        eval_set, own = _at(target, place, split, encoding=encoding, data_root=data_root)
    else:
        eval_set, own = given_set(data, target.classes, target.pixel_range, split), False
    notes = [*eval_set.notes, *warnings_of(target, eval_set, own=own)]
    stream, look = target.load(device)
    with Reporter(quiet=not progress).bar(f"Evaluating {eval_set.split_name} pictures", len(eval_set.split)) as advance:
        found = evaluate_on(stream, eval_set, target.classes, advance)
    notes += eval_set.split.value_warnings(trained=True)
    notes += _differences(target, found) if own else []
    return replace(found, title=target.title, notes=tuple(notes), model=target.source), look


def _at(
    target: EvalTarget, data: str | None, split: str | None, *, encoding: str | None, data_root: str | None
) -> tuple[EvalSet, bool]:
    """The pictures at a place, and whether the model was trained on that dataset."""
    place, own = place_of(target, data, encoding=encoding, data_root=data_root)
    try:
        return choose(place, target.classes, split, own=own), own
    except (UsageError, DataError) as error:
        if data is not None or split:
            raise
        kind = UsageError if isinstance(error, UsageError) else DataError
        raise kind(
            f"The pictures that this model was trained on were not found: {error.cause}",
            "Restore them, or name others: zoo evaluate MODEL DATASET",
        ) from None


def _differences(target: EvalTarget, found: Evaluation) -> list[str]:
    """A sentence if the figures differ from those recorded with the model."""
    figures, split = target.recorded
    before, now = figures.get("num_pictures"), found.figures["num_pictures"]
    if split != found.split_name or before in (None, now):
        return []
    return [f"The recorded figures are of {before} pictures, these are of {now}: the dataset has changed."]
