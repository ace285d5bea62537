"""What quantisation may look at: pictures of the training split, and what accuracy it loses."""

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
    """Chooses the pictures of a quantisation, which are training pictures, and how its loss is measured.

    Accuracy is compared on at most `MAX_LABELLED` pictures of the split that chose the checkpoint. Where there are
    fewer than `MIN_LABELLED`, training pictures that calibrate nothing fill up: what counts is how two versions of one
    network differ, which does not need unseen pictures. A file that keeps the budget there is held against the pictures
    of its parity check, which would refuse it for what it loses there.

    Args:
        reference: of the run's classifier.
        takes: the input of the file.
        method: minmax unless given.
        pictures: how many training pictures calibrate, evenly over the classes; all where there are fewer. 128
            unless given.
        budget: accuracy that may be lost, in points; 1 unless given. A single picture always may be.
        time_limit: seconds for each answer of a file whose accuracy is measured.

    Raises:
        UsageError: `pictures` is less than 1, or `budget` negative or not a number.
        DataError: no training picture, or none with a label to compare on, can be read.
    """
    from zoo.data.prepare import training_splits
    from zoo.parity.process import fresh_process

    pictures = PICTURES if pictures is None else pictures
    budget = BUDGET if budget is None else budget
    if pictures < 1:
        raise UsageError(f"{pictures} pictures cannot calibrate anything.", "Give --calibration-pictures at least 1.")
    if not budget >= 0:
        raise UsageError(f"{budget} is no number of points.", "Give --accuracy-budget 0 or more.")
    seed = run.recipe.seed
    train, validation = training_splits(run.dataset(), seed, run.recipe.limit)
    order = _evenly(train.labels, seed)
    chosen, spare = order[:pictures], order[pictures:]
    readable = [index for index, picture in decode(train.subset(chosen).pictures) if isinstance(picture, np.ndarray)]
    # Not a list: a hundred photos of a camera, decoded, are gigabytes.
    shown = cast("Sequence[np.ndarray]", train.subset(chosen[readable]).pictures)
    if not readable:
        raise DataError("No training picture to calibrate with can be read.", "See `zoo check`.")
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
    """Points of accuracy for which a file's parity check would refuse it, None where it would not."""
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
        raise DataError("No picture to measure the accuracy of int8 on can be read.", "See `zoo check`.")
    return right / total
