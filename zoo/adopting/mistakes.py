"""Names the usual mistake behind an accuracy that is too low: it makes each other choice and compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from zoo.adopting.class_order import Trial, sorted_orders, suggested_order
from zoo.data.batches import batches_by_size
from zoo.data.prefetch import decode
from zoo.data.seen import PHOTO_CROP
from zoo.data.splits import evenly
from zoo.errors import UnreadablePictureError
from zoo.metrics import log_softmax
from zoo.recipes.values import CHANNELS
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, PreprocessSpec, Triple
from zoo.transforms.preprocess import Preprocess

if TYPE_CHECKING:
    from zoo.data import Split
    from zoo.evaluation.evaluation import Evaluation
    from zoo.models.classifier import Classifier

PICTURES = 200
MAX_BYTES = 512 * 2**20  # of these pictures as they enter the network
BATCH = 32
CHANCE = 0.01  # a classifier that guesses gets as many right once in a hundred times
SURE = 0.01  # chance that any of the tried choices looks better by accident

# What people normalise with: ImageNet's values, 0.5, nothing, and pixels that stay 0..255.
NORMALISATIONS: tuple[tuple[Triple, Triple], ...] = (
    (IMAGENET_MEAN, IMAGENET_STD),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
)


@dataclass(frozen=True, slots=True)
class Better:
    """Another choice with which a network gets more pictures right.

    Attributes:
        options: to give to `zoo adopt`.
        before, after: right answers of `pictures`.
    """

    options: str
    before: int
    after: int
    pictures: int

    @property
    def sentence(self) -> str:
        change = f"{self.after:,} of {self.pictures:,} pictures are right instead of {self.before:,}"
        return f"With {self.options}, {change}."


def is_chance(found: Evaluation) -> bool:
    """Whether an accuracy is not better than that of guesses.

    Guesses that name each class as often as the network does are right with the probability p, the sum over the classes
    of the share of the pictures times the share of the answers: 1/K for K equal classes. The accuracy is that of
    chance where at least as many right answers of N have a probability above `CHANCE` in the binomial distribution
    of N and p.
    """
    counts = found.counts
    total, right = int(counts.sum()), int(counts.trace())
    p = float((counts.sum(0) / total) @ (counts.sum(1) / total))
    return right < total and tail(right, total, p) > CHANCE


def tail(right: int, total: int, p: float) -> float:
    """The probability of at least `right` successes of `total`, each with the probability p."""
    if right <= 0 or p >= 1:
        return 1.0
    if p <= 0:
        return 0.0
    ways = math.lgamma(total + 1)
    logs = (
        ways - math.lgamma(k + 1) - math.lgamma(total - k + 1) + k * math.log(p) + (total - k) * math.log1p(-p)
        for k in range(right, total + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def find_mistake(
    classifier: Classifier, found: Evaluation, *, swapped: bool, seed: int, advance: Callable[[int], None]
) -> Better | None:
    """The one choice that is clearly better than the given one, the best if there are several. None if there is none.

    Choices are compared picture by picture, on at most `PICTURES` pictures.

    Args:
        classifier: on its device, in eval mode.
        found: its evaluation.
        swapped: whether its channels were swapped for `--channels bgr`.
        seed: of the choice of pictures.
        advance: called with the number of pictures done, `passes(…)` of them for each picture.
    """
    spec = classifier.spec
    chosen = evenly(found.labels, seed)[: sample_size(spec, len(found.labels))]
    split, labels, logits = found.split.subset(found.indices[chosen]), found.labels[chosen], found.logits[chosen]
    trials = list(sorted_orders(logits, classifier.classes))
    with torch.inference_mode():
        pixels, numbers = _resized(spec, split, classifier)
        for options, changed, flipped in other_values(spec, swapped=swapped):
            trials.append(Trial(options, _logits(classifier, changed, pixels, flipped=flipped), numbers))
            advance(len(split))
        for options, changed in other_geometry(spec):
            pixels, numbers = _resized(changed, split, classifier)
            trials.append(Trial(options, _logits(classifier, changed, pixels), numbers))
            advance(len(split))
    known = {trial.options for trial in trials}
    trials += [each for each in suggested_order(logits, labels, classifier.classes) if each.options not in known]
    return _best(trials, labels, logits.argmax(1) == labels)


def sample_size(spec: PreprocessSpec, pictures: int) -> int:
    """How many of the pictures `find_mistake` takes."""
    return max(1, min(pictures, PICTURES, MAX_BYTES // (3 * 4 * spec.image_size**2)))


def passes(spec: PreprocessSpec) -> int:
    """How many times `find_mistake` runs a network over the pictures."""
    return len(list(other_values(spec, swapped=False))) + len(list(other_geometry(spec)))


def other_values(spec: PreprocessSpec, *, swapped: bool) -> Iterator[tuple[str, PreprocessSpec, bool]]:
    """Other normalisations and orders of the channels: the options, the preprocessing, whether channels are flipped."""
    flips = (False, True) if spec.channels == "rgb" else (False,)
    # The options are in the order of the network's channels, and the preprocessing is in that of the pictures.
    given = _turned(spec.mean, swapped), _turned(spec.std, swapped)
    others = [each for each in NORMALISATIONS if not np.allclose(each, given, rtol=0.02, atol=1e-3)]
    for mean, std in (given, *others):
        for flipped in flips:
            values = f"--mean {CHANNELS.text(mean)} --std {CHANNELS.text(_short(std))}"
            options = [] if (mean, std) == given else [values]
            options += [f"--channels {'rgb' if swapped else 'bgr'}"] if flipped else []
            if options:
                yield " ".join(options), replace(spec, mean=_turned(mean, swapped), std=_turned(std, swapped)), flipped


def _turned(values: Triple, swapped: bool) -> Triple:
    return values[::-1] if swapped else values


def _short(std: Triple) -> Triple:
    red, green, blue = (float(f"{value:.6g}") for value in std)
    return red, green, blue


def other_geometry(spec: PreprocessSpec) -> Iterator[tuple[str, PreprocessSpec]]:
    """Other parts of the picture."""
    if spec.resize == "crop":
        yield "--resize squash", replace(spec, resize="squash", crop_fraction=1.0)
    for fraction in (1.0, PHOTO_CROP):
        if spec.resize == "squash" or not math.isclose(fraction, spec.crop_fraction, abs_tol=0.01):
            yield (
                f"--resize crop --crop-fraction {fraction:g}",
                replace(spec, resize="crop", crop_fraction=fraction),
            )


def _resized(spec: PreprocessSpec, split: Split, classifier: Classifier) -> tuple[Tensor, np.ndarray]:
    """The readable pictures as float32 `[N, 3, S, S]` in 0..255, and where they stand in the split."""
    preprocess = Preprocess(spec)
    readable = (
        (index, picture) for index, picture in decode(split.pictures) if not isinstance(picture, UnreadablePictureError)
    )
    numbers, parts = [], []
    for indices, batch in batches_by_size(readable, BATCH):
        numbers += indices
        parts.append(preprocess.resize(torch.from_numpy(batch)))
    place = next(classifier.network.parameters()).device
    return torch.cat(parts).to(place), np.array(numbers, np.int64)


def _logits(classifier: Classifier, spec: PreprocessSpec, pixels: Tensor, *, flipped: bool = False) -> np.ndarray:
    """The answers of a network with another preprocessing, float32 `[N, K]`."""
    preprocess = Preprocess(spec).to(pixels.device)
    rows = []
    for part in torch.split(pixels, BATCH):
        values = preprocess.normalise(part.flip(1) if flipped else part)
        rows.append(classifier.network(values).float().cpu().numpy())
    return np.concatenate(rows)


def _best(trials: Sequence[Trial], labels: np.ndarray, given: np.ndarray) -> Better | None:
    """The trial with the most right answers, and of equal ones that with the lowest loss.

    Only trials count that a sign test over the pictures finds better than what was given.

    Args:
        given: which pictures are right now, bool `[N]`.
    """
    best: tuple[float, float] | None = None
    better: Better | None = None
    for trial in trials:
        wanted, before = labels[trial.numbers], given[trial.numbers]
        right = trial.logits.argmax(1) == wanted
        gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
        rank = float(right.mean()), float(log_softmax(trial.logits)[np.arange(len(wanted)), wanted].mean())
        if gained > lost and tail(gained, gained + lost, 0.5) < SURE / len(trials) and (best is None or rank > best):
            best, better = rank, Better(trial.options, int(before.sum()), int(right.sum()), len(right))
    return better
