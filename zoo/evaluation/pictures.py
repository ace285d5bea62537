"""Which pictures a trained model is evaluated on, with their labels in the order of its classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.class_names import in_one_form
from zoo.data.dataset_path import dataset_at
from zoo.data.folder import read_folder
from zoo.data.labels import in_classes
from zoo.data.list_files import read_list
from zoo.data.listing import Listing, quoted, some, sort_labels
from zoo.data.pictures import FilePictures
from zoo.data.prepare import final_split, load_dataset, registered_dataset, training_splits
from zoo.data.same_files import without_repeats
from zoo.data.split_folders import named_splits, subfolders
from zoo.data.types import Dataset, Split
from zoo.errors import DataError, UsageError, reason_of
from zoo.images.values import Range
from zoo.recipes.place import PicturePlace
from zoo.runs.kept import kept_pictures
from zoo.runs.plugins import names_of

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation, Stream
    from zoo.runs.run import Run

NAMES = {"test": "test", "val": "validation", "train": "train"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSet:
    """Pictures to evaluate on.

    Attributes:
        dataset, source: the dataset's name, and where it lies.
        split_name: `test`, `validation`, `train`, or `all` where there are no splits.
        split: the pictures; labels count in the model's classes.
        licence: of the pictures, empty where nobody knows.
        notes: what the reader of the figures must know, one sentence each.
    """

    dataset: str
    source: str
    split_name: str
    split: Split
    licence: str = ""
    notes: tuple[str, ...] = ()


def choose(place: PicturePlace, classes: Sequence[str], wanted: str | None, *, own: bool) -> EvalSet:
    """Finds the pictures.

    Without a test and a validation split, the validation pictures are the tenth of the training pictures
    that a training with this seed set aside. A folder of classes without splits, or a list file, is evaluated as a
    whole, unless the model was trained on it.

    Args:
        place: where the pictures are.
        classes: the model's.
        wanted: `test`, `val` or `train`; None takes test, else val.
        own: whether the model was trained on this dataset.

    Raises:
        UsageError: the dataset or the split was not found.
        DataError: there are no pictures, or pictures of classes that the model does not know.
    """
    path = None if own or registered_dataset(place.dataset) else Path(place.dataset).expanduser()
    try:
        if path is None:
            return _from_dataset(place, classes, wanted, own=own)
        dataset_at(path)  # refuses what is neither a folder nor a list file
        return _from_path(path, place, classes, wanted)
    except OSError as error:
        raise DataError(f"'{error.filename}' cannot be read: {reason_of(error)}.", "Check its permissions.") from None


def _from_dataset(place: PicturePlace, classes: Sequence[str], wanted: str | None, *, own: bool) -> EvalSet:
    spec, dataset = load_dataset(place)
    name, split = split_of(dataset, place, wanted)
    notes = list(dataset.notes)
    if own and name == "train":
        notes.append("These pictures were trained on: the figures are too good.")
    if name == "validation" and dataset.val is None:
        notes.append(f"The validation pictures are a tenth of the training pictures, cut with seed {place.seed}.")
    return EvalSet(
        dataset=spec.name,
        source=dataset.source,
        split_name=name,
        split=in_classes(split, dataset.classes, classes, spec.name),
        licence=spec.licence,
        notes=tuple(notes),
    )


def split_of(dataset: Dataset, place: PicturePlace, wanted: str | None) -> tuple[str, Split]:
    """The split that was asked for, and its name. Raises `UsageError` if the dataset has no such split."""
    if wanted is None:
        return final_split(dataset, place.seed)
    if wanted == "test":
        if dataset.test is None:
            raise UsageError("This dataset has no test split.", "Leave out --split, or give --split val.")
        return "test", dataset.test
    train, val = training_splits(dataset, place.seed, place.limit)
    return NAMES[wanted], train if wanted == "train" else val


def _from_path(path: Path, place: PicturePlace, classes: Sequence[str], wanted: str | None) -> EvalSet:
    folders = _split_folders(path) if path.is_dir() else {}
    name = wanted or next((name for name in ("test", "val", "train") if name in folders), None)
    if folders and (name == "train" or name not in folders) and "val" not in folders:
        return _from_dataset(replace(place, val=None, test=None), classes, wanted, own=False)
    if name is None:
        return _from_listing(_listing(path, place.encoding), path, "all", classes, place.pixel_range)
    if name not in folders:
        what = f"has no split '{name}', but {some(quoted(folders))}" if folders else "has no splits"
        raise UsageError(f"'{path}' {what}.", "Leave out --split.")
    listing = read_folder(folders[name], training=False)
    return _from_listing(listing, path, NAMES[name], classes, place.pixel_range)


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders `test`, `val` and `train` that hold folders; a class may have such a name, and holds pictures."""
    return {kind: path for kind, path in named_splits(folder).items() if subfolders(path)}


def _listing(path: Path, encoding: str) -> Listing:
    return read_folder(path, training=False) if path.is_dir() else read_list(path, encoding)


def _from_listing(
    listing: Listing, path: Path, split_name: str, classes: Sequence[str], pixel_range: Range | None
) -> EvalSet:
    listing, _ = without_repeats(in_one_form({split_name: listing})[split_name])
    names = sort_labels(set(listing.labels))
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[name] for name in listing.labels], dtype=np.int64)
    return EvalSet(
        dataset=path.resolve().name,
        source=str(path),
        split_name=split_name,
        split=in_classes(Split(FilePictures(listing.files, pixel_range), labels), names, classes, str(path)),
        notes=(*listing.notes, *listing.doubts),
    )


def split_of_run(run: Run) -> tuple[str, Split]:
    """The pictures that a run is evaluated on, and what they are called in results. Raises `DataError`, `UsageError`.

    Those of an adopted run were not trained on, so a folder without splits counts as a whole. Where they are not
    found: the pictures that the run kept.
    """
    if not run.adopted:
        return run.evaluation_split()
    try:
        with names_of(run):
            found = choose(run.place, run.classes, None, own=False)
    except UsageError as error:
        kept = kept_pictures(run.path, run.classes) if error.code == "missing-dataset" else None
        if kept is None:
            raise
        return f"kept {run.info.metrics_split}", kept
    return found.split_name, found.split


def evaluate(stream: Stream, eval_set: EvalSet, classes: Sequence[str], advance: Callable[[int], None]) -> Evaluation:
    """What a model answers to the chosen pictures. Raises `DataError` where none of them can be read.

    Args:
        classes: of the model.
        advance: told how many pictures are done since the last call.
    """
    from zoo.evaluation.evaluation import Evaluation, answers

    split = eval_set.split
    logits, indices, unreadable = answers(stream, split, len(classes), advance)
    if not len(indices):
        raise DataError(
            f"None of the {len(split)} pictures can be read: {unreadable[0]}", "Fix the pictures, or name others."
        )
    return Evaluation(
        classes=tuple(classes),
        split_name=eval_set.split_name,
        split=split,
        logits=logits,
        indices=indices,
        unreadable=unreadable,
        dataset=eval_set.dataset,
        source=eval_set.source,
        licence=eval_set.licence,
        notes=eval_set.notes,
    )


def trained_on(chosen: Split, dataset: Dataset, seed: int, limit: int | None = None) -> int:
    """How many of the chosen pictures a training on `dataset` with `seed` and `limit` learns from."""
    train = training_splits(dataset, seed, limit)[0]
    known = {train.pictures.source(index).identity() for index in range(len(train))} - {None}
    return sum(chosen.pictures.source(index).identity() in known for index in range(len(chosen)))
