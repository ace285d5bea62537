"""The loss of a batch that several processes may share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
