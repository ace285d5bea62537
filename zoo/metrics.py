"""Figures from logits and labels, in numpy alone: artifacts are evaluated where torch is not installed."""

from __future__ import annotations

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Takes logits `[N, K]`; returns float64 log-probabilities `[N, K]`."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts, int64 `[K, K]`: row = true class, column = predicted class."""
    num_classes = logits.shape[1]
    pairs = labels * num_classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def summarise(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """The figures of one evaluation.

    Args:
        logits: `[N, K]`, N >= 1.
        labels: int64 `[N]`.

    Returns:
        `top1`, `top5` (where K > 5), `macro_recall` as shares of 1; `loss`, the mean cross-entropy in nats;
        `num_pictures`.
    """
    picked = np.take_along_axis(log_softmax(logits), labels[:, None], axis=1)[:, 0]
    counts = confusion_matrix(logits, labels)
    support = counts.sum(axis=1)
    recall = np.diag(counts)[support > 0] / support[support > 0]
    figures: dict[str, float | int] = {
        "top1": float((logits.argmax(axis=1) == labels).mean()),
        "macro_recall": float(recall.mean()),
        "loss": float(-picked.mean()),
        "num_pictures": len(labels),
    }
    if logits.shape[1] > 5:  # noqa: PLR2004
        best = np.argpartition(logits, -5, axis=1)[:, -5:]
        figures["top5"] = float((best == labels[:, None]).any(axis=1).mean())
    return figures
