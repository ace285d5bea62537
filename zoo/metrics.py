"""Figures from logits and labels. They need numpy only, because artifacts are evaluated without torch.

A figure of a class is 0 where its denominator is 0: the precision of a class that is never predicted, or the recall of
a class without pictures. Macro figures are means over the classes that have pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.errors import ZooError

TOP = 5
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Figures of each class, float64 `[K]`, from 0 to 1.

    Attributes:
        support: the number of pictures of each class, int64 `[K]`.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray

    def macro(self, values: np.ndarray) -> float:
        """The mean of `values` `[K]` over the classes that have pictures."""
        return float(values[self.support > 0].mean())


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """How often a model is right at each confidence, in B bins of equal width between 0 and 1.

    Attributes:
        counts: pictures in each bin, int64 `[B]`.
        confidence: mean probability of the predicted class in each bin, float64 `[B]`, 0 where it is empty.
        accuracy: share of right answers in each bin, float64 `[B]`, 0 where it is empty.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599), 0 to 1."""
        return float((self.counts * abs(self.accuracy - self.confidence)).sum() / self.counts.sum())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Takes logits `[N, K]`; returns float64 log-probabilities `[N, K]`."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def predicted(logits: np.ndarray) -> np.ndarray:
    """The most probable class of each picture, int64 `[N]`. Of equal ones, the first.

    Raises:
        ZooError: a logit is infinite or not a number.
    """
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        raise ZooError(
            f"The model's answers to {broken} of {len(logits)} pictures are infinite or undefined.",
            "Its weights are damaged or its training diverged. Train it again with a lower --learning-rate.",
            code="logits-not-finite",
        )
    best: np.ndarray = logits.argmax(axis=1)
    return best


def confidences(logits: np.ndarray) -> np.ndarray:
    """The probability of the most probable class, float64 `[N]`."""
    best: np.ndarray = np.exp(log_softmax(logits).max(axis=1))
    return best


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, int64 `[K, K]`: row = true class, column = predicted class. Raises as `predicted`."""
    num_classes = logits.shape[1]
    pairs = labels * num_classes + predicted(logits)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def confusions(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """True class, predicted class and number of pictures of each kind of mistake, the most frequent first.

    Args:
        counts: a confusion matrix, int64 `[K, K]`.
    """
    wrong = counts - np.diag(np.diag(counts))
    pairs = np.argwhere(wrong)
    order = np.argsort(-wrong[wrong > 0], kind="stable")
    return [(int(true), int(guess), int(wrong[true, guess])) for true, guess in pairs[order]]


def class_figures(counts: np.ndarray) -> ClassFigures:
    """Takes a confusion matrix, int64 `[K, K]`."""
    return figures_of_sums(np.diag(counts), counts.sum(axis=1), counts.sum(axis=0))


def figures_of_sums(right: np.ndarray, support: np.ndarray, answers: np.ndarray) -> ClassFigures:
    """Takes a confusion matrix' diagonal, sums of rows and sums of columns, int64 `[K]` each."""
    return ClassFigures(
        precision=right / np.maximum(answers, 1),
        recall=right / np.maximum(support, 1),
        f1=2 * right / np.maximum(support + answers, 1),  # the harmonic mean of the two, without their 0 / 0
        support=support,
    )


def calibration_curve(logits: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS) -> CalibrationCurve:
    """Compares confidence with accuracy, in bins `((b - 1) / B, b / B]`. Raises as `predicted`."""
    right = predicted(logits) == labels
    sure = confidences(logits)
    places = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    totals = [np.bincount(places, weights=values, minlength=bins) for values in (sure, right)]
    confidence, accuracy = (total / np.maximum(counts, 1) for total in totals)
    return CalibrationCurve(counts, confidence, accuracy)


def mistakes(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The indices of wrong predictions, int64, the most confident first. Raises as `predicted`."""
    wrong = np.flatnonzero(predicted(logits) != labels)
    return wrong[np.argsort(-confidences(logits[wrong]), kind="stable")] if len(wrong) else wrong


def summarise(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """The figures of one evaluation.

    Args:
        logits: `[N, K]`, N >= 1.
        labels: int64 `[N]`.

    Returns:
        `top1`, `top5` (where K > 5), `macro_recall`, `macro_f1` and `ece` (expected calibration error) as shares of 1;
        `loss`, the mean cross-entropy in nats; `num_pictures`.

    Raises:
        ZooError: as `predicted`.
    """
    by_class = class_figures(confusion_matrix(logits, labels))
    picked = np.take_along_axis(log_softmax(logits), labels[:, None], axis=1)[:, 0]
    figures: dict[str, float | int] = {
        "top1": float((predicted(logits) == labels).mean()),
        "macro_recall": by_class.macro(by_class.recall),
        "macro_f1": by_class.macro(by_class.f1),
        "loss": float(-picked.mean()),
        "ece": calibration_curve(logits, labels).error,
        "num_pictures": len(labels),
    }
    if logits.shape[1] > TOP:
        best = np.argpartition(logits, -TOP, axis=1)[:, -TOP:]
        figures["top5"] = float((best == labels[:, None]).any(axis=1).mean())
    return figures
