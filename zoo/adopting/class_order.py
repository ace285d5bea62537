"""Other orders of the classes that would explain a network's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.data.listing import sort_labels

SHOWN = 20  # classes that a message lists in full


@dataclass(frozen=True, slots=True)
class Trial:
    """What a network answers with another choice.

    Attributes:
        options: to give to `zoo adopt`.
        logits: float32 `[n, K]`, in the order of the labels.
        numbers: which pictures these are, int64 `[n]`.
    """

    options: str
    logits: np.ndarray
    numbers: np.ndarray


def sorted_orders(logits: np.ndarray, classes: Sequence[str]) -> Iterator[Trial]:
    """Orders that programs give to the names of folders: by text, and by number.

    Args:
        logits: float32 `[N, K]`, in the order of `classes`.
    """
    index = {name: number for number, name in enumerate(classes)}
    for names in dict.fromkeys(tuple(names) for names in (sorted(classes), sort_labels(classes))):
        if names != tuple(classes):
            meaning = np.array([index[name] for name in names])
            yield Trial(f"--classes {_listed(names)}", _by_label(logits, meaning), np.arange(len(logits)))


def suggested_order(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Iterator[Trial]:
    """The order that the answers themselves suggest, if they do.

    It is found on one half of the pictures and tried on the other: of many classes, some order fits any few pictures.

    Args:
        logits, labels: float32 `[N, K]` and int64 `[N]`, in the order of `classes`.
    """
    meaning = _suggested(logits.argmax(1)[::2], labels[::2], len(classes))
    if meaning is None:
        return
    names = tuple(classes[label] for label in meaning)
    half = np.arange(len(labels))[1::2]
    if names != tuple(classes) and len(half):
        yield Trial(f"--classes {_listed(names)}", _by_label(logits[half], meaning), half)


def _by_label(logits: np.ndarray, meaning: np.ndarray) -> np.ndarray:
    """The columns in the order of the labels, where the one at i means the label `meaning[i]`."""
    return logits[:, np.argsort(meaning)]


def _suggested(best: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray | None:
    """The label that each logit means, int64 `[K]`: the most frequent one of its pictures. None where two are alike."""
    counts = np.bincount(best * count + labels, minlength=count**2).reshape(count, count)
    seen = np.flatnonzero(counts.sum(1))
    meaning = np.full(count, -1)
    meaning[seen] = counts[seen].argmax(1)
    if len(set(meaning[seen].tolist())) < len(seen):
        return None
    left = sorted(set(range(count)) - set(meaning[seen].tolist()))
    if len(left) > 1:
        return None
    meaning[meaning < 0] = left
    return meaning


def _listed(names: Sequence[str]) -> str:
    if len(names) <= SHOWN and not any("," in name for name in names):
        return ",".join(names)
    return f"a file with the classes in this order: {', '.join(names[:SHOWN])}" + (", …" if len(names) > SHOWN else "")
