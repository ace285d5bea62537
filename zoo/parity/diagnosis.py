"""Finds the known mistake that explains an artifact's answers: makes each on the classifier and compares."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from zoo.parity.cases import Case
from zoo.parity.process import Answers
from zoo.parity.references import Reference, answers
from zoo.parity.refusal import LateError, RefusedError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.models.classifier import Classifier
    from zoo.specs import PreprocessSpec

MAX_EVIDENCE = 4  # cases of a kind
MAX_FROZEN = 8
# Of the distance to the classifier itself: the rest is rounding, of which int8 has much.
EXPLAINED = 0.5

Model = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known mistake of an export.

    Attributes:
        what: how the classifier was changed, after "with".
        code: of the error that names it.
    """

    what: str
    code: str

    @property
    def sentence(self) -> str:
        return f"It answers like the classifier with {self.what}."


def diagnose(reference: Reference, said: list[np.ndarray]) -> Mistake | None:
    """The mistake that gives these answers; None if no known mistake does.

    Args:
        said: the artifact's logits, float32 `[n, K]` per case.
    """
    wanted = _evidence(reference.cases[: len(said)])
    pictures = [reference.cases[number].pixels(reference.split) for number in wanted]
    before, got = [reference.logits[number] for number in wanted], [said[number] for number in wanted]
    left, likely = EXPLAINED, None
    for mistake, model in mistakes(reference.classifier):
        made = [_attempt(model, images) for images in pictures]
        # A mistake that changes nothing here explains nothing.
        share = _distance(made, got) / max(_distance(made, got, before), np.finfo(np.float64).tiny)
        if share < left:
            left, likely = share, mistake
    return likely


def mistakes(classifier: Classifier) -> Iterator[tuple[Mistake, Model]]:
    """Common mistakes of exports, each with a model from pixels to logits that makes it."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from zoo.transforms.preprocess import Preprocess

    network, right = classifier.network, classifier.preprocess
    mean, std = right.mean, right.std
    # For mistakes, a crop before the resize is near enough to one behind it, whose pictures may be gigabytes.
    cropping = Preprocess(replace(classifier.spec, resize="crop")) if right.shorter else right

    def resized(images: Tensor, mode: str) -> Tensor:
        pixels = images.permute(0, 3, 1, 2)
        pixels = pixels if right.squash else cropping.centre(pixels)
        return F.interpolate(pixels.float(), (right.size, right.size), mode=mode)

    channels = Mistake("swapped colour channels", code="channels-swapped")
    yield channels, lambda x: classifier(x.flip(3))
    yield channels, lambda x: network(right(x).flip(1))
    normalisation = Mistake("no normalisation", code="not-normalised")
    yield normalisation, lambda x: network(right.resize(x) / 255)
    yield normalisation, lambda x: network(right.resize(x))
    yield (
        Mistake("a mean and standard deviation for pixels of 0..1 on pixels of 0..255", code="scaled-0-1"),
        lambda x: network((right.resize(x) - mean / 255) / (std / 255)),
    )
    yield (
        Mistake("a mean and standard deviation for pixels of 0..255 on pixels of 0..1", code="scaled-0-255"),
        lambda x: network((right.resize(x) / 255 - mean) / std),
    )
    aliased = Mistake("a resize without antialiasing", code="not-antialiased")
    yield aliased, lambda x: network(right.normalise(resized(x, classifier.spec.interpolation)))
    nearest = Mistake("a resize to the nearest pixel", code="nearest-pixel")
    yield nearest, lambda x: network(right.normalise(resized(x, "nearest")))
    yield nearest, lambda x: network(right.normalise(resized(x, "nearest-exact")))
    for mistake, other in _other_resizes(classifier.spec):
        yield mistake, nn.Sequential(Preprocess(other), network)
    yield Mistake("swapped height and width", code="sides-swapped"), lambda x: classifier(x.transpose(1, 2))
    softmax = Mistake("a softmax on its logits", code="softmax")
    yield softmax, lambda x: torch.softmax(classifier(x), 1)
    yield softmax, lambda x: torch.log_softmax(classifier(x), 1)
    training = _batch_norm_trains(network)
    trains = Mistake("BatchNorm in training mode (eval() was not called)", code="batch-norm-trains")
    yield trains, lambda x: training(right(x))


def _other_resizes(spec: PreprocessSpec) -> Iterator[tuple[Mistake, PreprocessSpec]]:
    if spec.resize == "squash":
        yield Mistake("a crop instead of a squash", code="cropped"), replace(spec, resize="crop")
    else:
        yield Mistake("a squash instead of a crop", code="squashed"), replace(spec, resize="squash")
        yield Mistake("no crop fraction", code="no-crop-fraction"), replace(spec, crop_fraction=1.0)
    if spec.resize == "shorter":
        yield Mistake("a crop before its resize", code="cropped-first"), replace(spec, resize="crop")
    elif spec.resize == "crop":
        yield Mistake("a resize before its crop", code="resized-first"), replace(spec, resize="shorter")
    if spec.interpolation == "bicubic":
        yield Mistake("a bilinear resize instead of bicubic", code="bilinear"), replace(spec, interpolation="bilinear")
    else:
        yield Mistake("a bicubic resize instead of bilinear", code="bicubic"), replace(spec, interpolation="bicubic")


def batches_taken(artifact: Answers, picture: np.ndarray) -> str | None:
    """A clause that names the batch sizes that an artifact accepts; None if it accepts all or none."""
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
    return f"it accepts only batches of {' and '.join(map(str, taken))}"


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
