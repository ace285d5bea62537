"""The loss of a batch that several processes may share, and the weights of classes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.data.listing import quoted, some
from zoo.errors import UsageError


def share_of_loss(
    logits: Tensor, target: Tensor, batch: Tensor, *, weights: Tensor | None, smoothing: float, processes: int
) -> Tensor:
    """Cross-entropy of one process's share of a batch, so that the mean over the processes is the batch's mean loss.

    Args:
        logits: of the share, float32 `[n, K]`.
        target: of the share: classes, int64 `[n]`, or the share of each class, float32 `[n, K]`.
        batch: the classes of the whole batch, int64 `[N]`.
        weights: of classes, float32 `[K]`.
    """
    summed = F.cross_entropy(logits, target, weights, label_smoothing=smoothing, reduction="sum") * processes
    if weights is None or target.ndim > 1:
        return summed / len(batch)
    total = weights[batch].sum()
    # A batch can hold classes of the weight 0 alone.
    return summed / torch.where(total > 0, total, 1.0)


def class_weights(chosen: Literal["balanced"] | Mapping[str, float], counts: Mapping[str, int]) -> list[float]:
    """The loss's weight for each class.

    Args:
        chosen: `balanced` (inverse to the number of pictures), or the weights of some classes; the others have 1.
        counts: training pictures by class.

    Raises:
        UsageError: for a class that is unknown or has no pictures, or where all weights are 0.
    """
    absent = [name for name, count in counts.items() if not count]
    if chosen == "balanced":
        if absent:
            raise UsageError(
                f"The class '{absent[0]}' has no training pictures, so it cannot be balanced.",
                "Add pictures, or remove the class.",
                code="class-without-pictures",
            )
        total = sum(counts.values())
        return [total / (len(counts) * count) for count in counts.values()]
    for name in chosen:
        if name not in counts:
            raise UsageError(
                f"--class-weights names an unknown class '{name}'.",
                f"The classes are {some(quoted(counts), most=20)}.",
                code="unknown-class",
            )
        if name in absent:
            raise UsageError(
                f"The class '{name}' has a weight, but no training picture.",
                "Leave out its weight.",
                code="class-without-pictures",
            )
    weights = [chosen.get(name, 1.0) for name in counts]
    if not any(weights):
        raise UsageError(
            "All classes have the weight 0.", "Give at least one class a weight above 0.", code="impossible-option"
        )
    return weights
