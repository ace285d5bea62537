"""Calibration of int8: which training pictures it uses, and how the loss of accuracy is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from zoo.data.batches import batches_by_size
from zoo.data.prefetch import decode
from zoo.data.splits import evenly
from zoo.data.types import Split
from zoo.errors import DataError, UsageError
from zoo.evaluation.evaluation import Stream, answers, classifier_stream
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import BUDGET, Calibration, CalibrationMethod, Input, Runtime

if TYPE_CHECKING:
    from zoo.exporting.source import Source
    from zoo.models.classifier import Classifier

PICTURES = 128
BATCH_SIZE = 32
MAX_LABELLED = 1000
DIGITS = 6  # of points: one picture lost is one picture allowed
MIN_LABELLED = 100  # one picture is a point
# Share of the budget that a file may lose on these pictures. The rest is for the pictures of the parity check, which
# neither choose nor change a file. For 1,000 pictures of which 2% change their class, half a point is a standard error.
SHARE = 0.5


def calibration(
    source: Source,
    classifier: Classifier,
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
    need unseen pictures. A file may lose `SHARE` of the budget there, or one picture. The test split chooses nothing:
    the parity check refuses a file that loses more than the whole budget on it.

    Args:
        source: has the training pictures.
        classifier: of the source: fp32, in eval mode, on the CPU.
        takes: the input of the file.
        method: by default minmax.
        pictures: number of training pictures, evenly over the classes; all of them if there are fewer. By default 128.
        budget: accuracy that an export may lose, in points; by default 1.
        time_limit: seconds for each answer of a file whose accuracy is measured.

    Raises:
        UsageError: `pictures` is less than 1, or `budget` is negative or not a number.
        DataError: no training picture or no labelled picture can be read.
    """
    from zoo.parity.process import fresh_process

    pictures = PICTURES if pictures is None else pictures
    budget = BUDGET if budget is None else budget
    if pictures < 1:
        cause = f"--calibration-pictures {pictures} is too small for a calibration."
        raise UsageError(cause, "Give 1 or more.", code="calibration-pictures")
    if not budget >= 0:
        cause = f"--accuracy-budget {budget} is not a number of points."
        raise UsageError(cause, "Give 0 or more.", code="accuracy-budget")
    seed = source.seed
    train, validation = source.calibration_splits()
    order = evenly(train.labels, seed)
    chosen, spare = order[:pictures], order[pictures:]
    readable = [index for index, picture in decode(train.subset(chosen).pictures) if isinstance(picture, np.ndarray)]
    # Not a list: a hundred photos of a camera, decoded, are gigabytes.
    shown = cast("Sequence[np.ndarray]", train.subset(chosen[readable]).pictures)
    if not readable:
        cause = "None of the training pictures for the calibration can be read."
        raise DataError(cause, "Run `zoo check` on the dataset.", code="unreadable-calibration")
    compared = [validation.subset(evenly(validation.labels, seed)[:MAX_LABELLED])]
    if len(validation) < MIN_LABELLED:
        compared.append(train.subset(spare[: MIN_LABELLED - len(validation)]))
    allowed = round(max(SHARE * budget, 100 / sum(map(len, compared))), DIGITS)  # one picture may be a near tie
    classes = len(classifier.classes)

    @cache
    def expected() -> float:
        import torch

        return _accuracy(classifier_stream(classifier, torch.device("cpu")), compared, classes)

    def loss(path: Path) -> float:
        with fresh_process(path, classifier.spec, takes, time_limit=time_limit) as runtime:
            return round(100 * (expected() - _accuracy(_stream(runtime), compared, classes)), DIGITS)

    return Calibration(pictures=shown, method=method or "minmax", budget=allowed, loss=loss)


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
