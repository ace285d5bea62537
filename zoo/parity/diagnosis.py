"""Which known mistake gives an artifact's answers: each is made on the classifier, and the answers compared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.parity.cases import Case
from zoo.parity.process import Answers
from zoo.parity.references import Reference, answers
from zoo.parity.refusal import LateError, RefusedError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.models.classifier import Classifier

MAX_EVIDENCE = 4  # cases of a kind
MAX_FROZEN = 8
# Of the distance to the classifier itself: what is left is rounding, of which int8 has much.
EXPLAINED = 0.5

Model = Callable[["Tensor"], "Tensor"]


def diagnose(reference: Reference, said: list[np.ndarray]) -> str | None:
    """A sentence about the mistake whose answers these are, None where none fits.

    Args:
        said: logits float32 `[n, K]` per case, of the artifact.
    """
    wanted = _evidence(reference.cases[: len(said)])
    pictures = [reference.cases[number].pixels(reference.split) for number in wanted]
    before, got = [reference.logits[number] for number in wanted], [said[number] for number in wanted]
    left, likely = EXPLAINED, ""
    for what, model in mistakes(reference.classifier):
        made = [_attempt(model, images) for images in pictures]
        # A mistake that changes nothing here explains nothing.
        share = _distance(made, got) / max(_distance(made, got, before), np.finfo(np.float64).tiny)
        if share < left:
            left, likely = share, f"Its answers are those of the classifier with {what}."
    return likely or None


def mistakes(classifier: Classifier) -> Iterator[tuple[str, Model]]:
    """What people get wrong between a trained network and a file, as models from pixels to logits."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    network, right = classifier.network, classifier.preprocess
    mean, std = right.mean, right.std

    def resized(images: Tensor, mode: str) -> Tensor:
        pixels = images.permute(0, 3, 1, 2)
        pixels = pixels if right.squash else right.centre(pixels)
        return F.interpolate(pixels.float(), (right.size, right.size), mode=mode)

    yield "its colour channels swapped", lambda x: classifier(x.flip(3))
    yield "its colour channels swapped", lambda x: network(right(x).flip(1))
    yield "its normalisation dropped", lambda x: network(right.resize(x) / 255)
    yield "its normalisation dropped", lambda x: network(right.resize(x))
    yield (
        "mean and standard deviation for pixels of 0..1, on pixels of 0..255",
        lambda x: network((right.resize(x) - mean / 255) / (std / 255)),
    )
    yield (
        "mean and standard deviation for pixels of 0..255, on pixels of 0..1",
        lambda x: network((right.resize(x) / 255 - mean) / std),
    )
    yield "the antialiasing of its resize off", lambda x: network(right.normalise(resized(x, "bilinear")))
    yield "its resize to the nearest pixel", lambda x: network(right.normalise(resized(x, "nearest")))
    yield "its resize to the nearest pixel", lambda x: network(right.normalise(resized(x, "nearest-exact")))
    for what, changes in (
        ("its crop in place of a squash" if right.squash else "its picture squashed in place of a crop",
         {"squash": not right.squash}),
        ("its crop fraction dropped", {"numerator": right.denominator}),
    ):  # fmt: skip
        other = copy.deepcopy(right)
        for name, value in changes.items():
            setattr(other, name, value)
        yield what, nn.Sequential(other, network)
    yield "height and width swapped", lambda x: classifier(x.transpose(1, 2))
    yield "softmax applied to its logits", lambda x: torch.softmax(classifier(x), 1)
    yield "softmax applied to its logits", lambda x: torch.log_softmax(classifier(x), 1)
    training = _batch_norm_trains(network)
    yield "its BatchNorm in training mode: an eval() was forgotten", lambda x: training(right(x))


def batches_taken(artifact: Answers, picture: np.ndarray) -> str | None:
    """A clause about the batch sizes that an artifact takes; None where it takes all or none."""
    taken = []
    for number in range(1, MAX_FROZEN + 1):
        try:
            if len(artifact(np.stack([picture] * number))) == number:
                taken.append(number)
        except LateError:
            raise
        except RefusedError:
            continue
    if not taken or len(taken) == MAX_FROZEN:
        return None
    return f"it takes batches of {' and '.join(map(str, taken))} only"


def _evidence(cases: Sequence[Case]) -> list[int]:
    """Some cases of each kind: of several sizes for what depends on the resize, of several pictures for the batch."""
    chosen: list[int] = []
    for kind in ("row", "file", "real"):
        chosen += [number for number, case in enumerate(cases) if case.kind == kind][:MAX_EVIDENCE]
    return chosen


def _attempt(model: Model, images: np.ndarray) -> np.ndarray | None:
    try:
        return answers(model, images)
    except (RuntimeError, ValueError):  # BatchNorm refuses to train on one value
        return None


def _distance(made: list[np.ndarray | None], got: list[np.ndarray], instead: list[np.ndarray] | None = None) -> float:
    """Root mean square between answers, or `instead` of the ones that were made; where none could be made, infinite."""
    pairs = [(a, b) for a, b in zip(made, got, strict=True) if a is not None]
    if instead is not None:
        pairs = [(c, b) for a, b, c in zip(made, got, instead, strict=True) if a is not None]
    if not pairs:
        return np.inf
    return float(np.sqrt(np.mean(np.concatenate([a - b for a, b in pairs]).astype(np.float64) ** 2)))


def _batch_norm_trains(network: nn.Module) -> nn.Module:
    from torch.nn.modules.batchnorm import _BatchNorm

    own = copy.deepcopy(network)
    for module in own.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return own
