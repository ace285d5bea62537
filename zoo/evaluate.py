"""The figures that count: the deployable classifier, on raw pictures, in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from zoo.classifier import Classifier
from zoo.data import Split
from zoo.data.stream import batches_by_size, decode
from zoo.errors import UnreadablePictureError

BATCH_SIZE = 64


def classify(
    classifier: Classifier, split: Split, device: torch.device, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Runs a classifier over a split.

    Args:
        classifier: in eval mode, fp32, on `device`.
        advance: called with the number of pictures done since the last call.

    Returns:
        logits float32 `[N, K]` and labels int64 `[N]` of the readable pictures in the split's order, and
        one sentence for each unreadable one.
    """
    rows: list[np.ndarray | None] = [None] * len(split)
    unreadable: list[str] = []

    def readable() -> Iterator[tuple[int, np.ndarray]]:
        for index, picture in decode(split.pictures):
            if isinstance(picture, UnreadablePictureError):
                unreadable.append(picture.cause)
                advance(1)
            else:
                yield index, picture

    with torch.inference_mode(), _exact(device):
        for indices, batch in batches_by_size(readable(), BATCH_SIZE):
            answers = classifier(torch.from_numpy(batch).to(device)).float().cpu().numpy()
            for index, row in zip(indices, answers, strict=True):
                rows[index] = row
            advance(len(indices))
    kept = [index for index, row in enumerate(rows) if row is not None]
    found = [row for row in rows if row is not None]
    logits = np.stack(found) if found else np.empty((0, len(classifier.classes)), np.float32)
    return logits, split.labels[kept], unreadable


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """fp32 that is fp32: on a GPU, cuDNN rounds to TF32 unless told otherwise."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
