"""The figures that count: a whole model, from raw pictures to logits, in fp32.

Nothing here imports torch before a classifier of torch runs: an artifact is evaluated without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import metrics
from zoo.artifacts.card import MAX_MISTAKES
from zoo.data.batches import batches_by_size
from zoo.data.prefetch import decode
from zoo.errors import UnreadablePictureError
from zoo.evaluation.shown import html_of, line_of
from zoo.transforms.preprocess_numpy import LARGE_PIXELS, resize

if TYPE_CHECKING:
    import torch

    from zoo.artifacts.card import Card
    from zoo.data import Split
    from zoo.models.classifier import Classifier
    from zoo.runs.run import Run

BATCH_SIZE = 64

# Takes numbered pictures, uint8 [H, W, 3]; yields numbers with their logits, float32 [n, K], in any order.
Stream = Callable[[Iterable[tuple[int, np.ndarray]]], Iterator[tuple[list[int], np.ndarray]]]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a model answered to a split; at least one of its pictures was readable.

    Attributes:
        classes: the model's K classes.
        split_name: what the pictures are called in results: `test`, `validation`, …
        split: the pictures; its labels count in `classes`.
        logits: float32 `[N, K]` of the N readable pictures, in the split's order.
        indices: where each of them stands in the split, int64 `[N]`.
        unreadable: one sentence for each of the others.
        title: of the model, for people.
        dataset, source, licence: of the pictures; empty where nobody knows.
        notes: what the reader of the figures must know, one sentence each.
        model: the run, or the card of the file, that was evaluated; None for a classifier of the user.
    """

    classes: tuple[str, ...]
    split_name: str
    split: Split
    logits: np.ndarray
    indices: np.ndarray
    unreadable: tuple[str, ...] = ()
    title: str = ""
    dataset: str = ""
    source: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
    model: Run | Card | None = None

    __repr__, _repr_html_ = line_of, html_of

    @cached_property
    def labels(self) -> np.ndarray:
        """Of the readable pictures, int64 `[N]`."""
        kept: np.ndarray = self.split.labels[self.indices]
        return kept

    @cached_property
    def figures(self) -> dict[str, float | int]:
        """As `zoo.metrics.summarise` returns them."""
        return metrics.summarise(self.logits, self.labels)

    @cached_property
    def counts(self) -> np.ndarray:
        """The confusion matrix, int64 `[K, K]`: row = true class, column = predicted class."""
        return metrics.confusion_matrix(self.logits, self.labels)

    @cached_property
    def by_class(self) -> metrics.ClassFigures:
        return metrics.class_figures(self.counts)

    @cached_property
    def calibration(self) -> metrics.CalibrationCurve:
        return metrics.calibration_curve(self.logits, self.labels)

    @cached_property
    def worst_first(self) -> list[int]:
        """The classes that have pictures, by ascending F1."""
        present = np.flatnonzero(self.by_class.support)
        order: list[int] = present[np.argsort(self.by_class.f1[present], kind="stable")].tolist()
        return order

    def confusions(self) -> list[tuple[int, int, int]]:
        """True class, predicted class and number of pictures of each kind of mistake, the most frequent first."""
        return metrics.confusions(self.counts)

    def confusion_facts(self) -> dict[str, Any]:
        """As `zoo.artifacts.card.Confusion` describes it."""
        return {
            "right": self.counts.diagonal().tolist(),
            "support": self.counts.sum(axis=1).tolist(),
            "answers": self.counts.sum(axis=0).tolist(),
            "mistakes": self.confusions()[:MAX_MISTAKES],
        }

    def mistakes(self) -> list[tuple[int, int, int, float]]:
        """Index in the split, true class, predicted class and its probability; the most confident first."""
        rows = metrics.mistakes(self.logits, self.labels)
        values = (self.indices[rows], self.labels[rows], metrics.predicted(self.logits[rows]))
        sure = metrics.confidences(self.logits[rows]) if len(rows) else np.empty(0)
        return list(zip(*(value.tolist() for value in values), sure.tolist(), strict=True))


def answers(
    stream: Stream, split: Split, num_classes: int, advance: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Runs a model over a split, in bounded memory.

    Args:
        stream: the model, for instance `Predictor.stream`.
        num_classes: K.
        advance: called with the number of pictures done since the last call.

    Returns:
        logits float32 `[N, K]` and indices int64 `[N]` of the readable pictures in the split's order, and one sentence
        for each unreadable one.
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

    for indices, logits in stream(readable()):
        for index, row in zip(indices, logits, strict=True):
            rows[index] = row
        advance(len(indices))
    kept = np.array([index for index, row in enumerate(rows) if row is not None], dtype=np.int64)
    found = [row for row in rows if row is not None]
    logits = np.stack(found) if found else np.empty((0, num_classes), np.float32)
    return logits, kept, tuple(unreadable)


def classifier_stream(classifier: Classifier, device: torch.device) -> Stream:
    """A classifier, in eval mode and fp32, moved to `device`, as `answers` takes it.

    Training and evaluation both take this way, and their figures agree to the last bit.
    """
    import torch

    placed = classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def stream(pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[list[int], np.ndarray]]:
        for indices, batch in batches_by_size(pictures, BATCH_SIZE):
            with torch.inference_mode(), exact(device):
                large = batch.shape[1] * batch.shape[2] > LARGE_PIXELS  # a float32 copy would be gigabytes
                if large or (classifier.spec.resampled and device.type == "cpu"):
                    pixels = torch.from_numpy(resize(batch, classifier.spec)).to(device)
                    logits = placed.network(placed.preprocess.normalise(pixels))
                else:
                    logits = placed(torch.from_numpy(batch).to(device))
            yield indices, logits.float().cpu().numpy()

    return stream


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """fp32 that is fp32: on a GPU, cuDNN rounds to TF32 unless told otherwise."""
    import torch

    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
