"""Calibration of int8: which training pictures it uses, and how the loss of accuracy is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from zoo.data.batches import batches_by_size
from zoo.data.prefetch import decode
from zoo.data.types import Split
from zoo.errors import DataError, UsageError
from zoo.evaluation.evaluation import Stream, answers, classifier_stream
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import BUDGET, Calibration, CalibrationMethod, Input, Runtime

if TYPE_CHECKING:
    from zoo.parity import Reference
    from zoo.runs.run import Run

PICTURES = 128
BATCH_SIZE = 32
MAX_LABELLED = 1000
DIGITS = 6  # of points: one picture lost is one picture allowed
MIN_LABELLED = 100  # one picture is a point


def calibration(
    run: Run,
    reference: Reference,
    *,
    takes: Input = "pixels",
    method: CalibrationMethod | None = None,
    pictures: int | None = None,
    budget: float | None = None,
    time_limit: float = ANSWER_SECONDS,
) -> Calibration:
    """Chooses training pictures for the calibration, and how the loss of accuracy is measured.

    Accuracy is compared on at most `MAX_LABELLED` pictures of the split that chose the checkpoint. If there are fewer
    than `MIN_LABELLED`, unused training pictures are added: two versions of one network are compared, which does not
    need unseen pictures. A file within the budget is then compared on the pictures of its parity check too, which would
    refuse a larger loss.

    Args:
        reference: of the run's classifier.
        takes: the input of the file.
        method: by default minmax.
        pictures: number of training pictures, evenly over the classes; all of them if there are fewer. By default 128.
        budget: accuracy that may be lost, in points; by default 1. One picture may always be lost.
        time_limit: seconds for each answer of a file whose accuracy is measured.

    Raises:
        UsageError: `pictures` is less than 1, or `budget` is negative or not a number.
        DataError: no training picture or no labelled picture can be read.
    """
    from zoo.data.prepare import training_splits
    from zoo.parity.process import fresh_process

    pictures = PICTURES if pictures is None else pictures
    budget = BUDGET if budget is None else budget
    if pictures < 1:
        cause = f"--calibration-pictures {pictures} is too small for a calibration."
        raise UsageError(cause, "Give 1 or more.", code="calibration-pictures")
    if not budget >= 0:
        cause = f"--accuracy-budget {budget} is not a number of points."
        raise UsageError(cause, "Give 0 or more.", code="accuracy-budget")
    seed = run.recipe.seed
    train, validation = training_splits(run.dataset(), seed, run.recipe.limit)
    order = _evenly(train.labels, seed)
    chosen, spare = order[:pictures], order[pictures:]
    readable = [index for index, picture in decode(train.subset(chosen).pictures) if isinstance(picture, np.ndarray)]
    # Not a list: a hundred photos of a camera, decoded, are gigabytes.
    shown = cast("Sequence[np.ndarray]", train.subset(chosen[readable]).pictures)
    if not readable:
        cause = "None of the training pictures for the calibration can be read."
        raise DataError(cause, "Run `zoo check` on the dataset.", code="unreadable-calibration")
    compared = [validation.subset(_evenly(validation.labels, seed)[:MAX_LABELLED])]
    if len(validation) < MIN_LABELLED:
        compared.append(train.subset(spare[: MIN_LABELLED - len(validation)]))
    budget = round(max(budget, 100 / sum(map(len, compared))), DIGITS)  # one picture may be a near tie
    classifier = reference.classifier
    classes = len(classifier.classes)

    @cache
    def expected() -> float:
        import torch

        return _accuracy(classifier_stream(classifier, torch.device("cpu")), compared, classes)

    def loss(path: Path) -> float:
        with fresh_process(path, classifier.spec, takes, time_limit=time_limit) as runtime:
            lost = round(100 * (expected() - _accuracy(_stream(runtime), compared, classes)), DIGITS)
            return lost if lost > budget else _refused_for(runtime, reference, budget) or lost

    return Calibration(pictures=shown, method=method or "minmax", budget=budget, loss=loss)


def _refused_for(runtime: Runtime, reference: Reference, budget: float) -> float | None:
    """The lost points of accuracy if the parity check would refuse a file for them, else None."""
    from zoo.parity.compare import Outputs, accuracies, accuracy_kept

    real = set(reference.of_kind("real"))
    said = [
        runtime(case.pixels(reference.split)) if number in real else reference.logits[number]
        for number, case in enumerate(reference.cases)
    ]
    kept = accuracy_kept(accuracies(reference, Outputs(logits=said)), budget)
    return kept.worst if kept.reason else None


def _evenly(labels: np.ndarray, seed: int) -> np.ndarray:
    """All indices in an order of which every beginning has the classes as evenly as it can, int64 `[N]`."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        turn[members] = np.arange(len(members))
    return order[np.argsort(turn[order], kind="stable")]


def _stream(runtime: Runtime) -> Stream:
    def stream(pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[list[int], np.ndarray]]:
        for indices, batch in batches_by_size(pictures, BATCH_SIZE):
            yield indices, runtime(batch)

    return stream


def _accuracy(stream: Stream, splits: list[Split], num_classes: int) -> float:
    right = total = 0
    for split in splits:
        logits, indices, _ = answers(stream, split, num_classes, lambda _: None)
        right += int((logits.argmax(axis=1) == split.labels[indices]).sum())
        total += len(indices)
    if not total:
        cause = "None of the pictures for measuring the accuracy of int8 can be read."
        raise DataError(cause, "Run `zoo check` on the dataset.", code="unreadable-labelled")
    return right / total
