"""Names the usual mistake behind an accuracy that is too low: it makes each other choice and compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import Tensor

from zoo.adopting.class_order import Trial, sorted_orders, suggested_order
from zoo.data.prefetch import decode
from zoo.data.seen import PHOTO_CROP
from zoo.data.splits import evenly
from zoo.data.workers import Resize
from zoo.errors import UnreadablePictureError
from zoo.metrics import log_softmax
from zoo.recipes.values import CHANNELS
from zoo.specs import IMAGENET_MEAN, IMAGENET_STD, Interpolation, PreprocessSpec, ResizeMode, Triple
from zoo.transforms.preprocess import Preprocess

if TYPE_CHECKING:
    from zoo.data import Split
    from zoo.evaluation.evaluation import Evaluation
    from zoo.models.classifier import Classifier

PICTURES = 200
MAX_BYTES = 512 * 2**20  # of pictures that wait for the network
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


# Options to give, the preprocessing that they mean, and whether channels are flipped.
Choice = tuple[str, PreprocessSpec, bool]


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
    chosen = evenly(found.labels, seed)[: sample_size(len(found.labels))]
    split, labels, logits = found.split.subset(found.indices[chosen]), found.labels[chosen], found.logits[chosen]
    trials = list(sorted_orders(logits, classifier.classes))
    with torch.inference_mode():
        trials += _tried(classifier, split, swapped=swapped, advance=advance)
    known = {trial.options for trial in trials}
    trials += [each for each in suggested_order(logits, labels, classifier.classes) if each.options not in known]
    return _best(trials, labels, logits.argmax(1) == labels)


def sample_size(pictures: int) -> int:
    """How many of the pictures `find_mistake` takes."""
    return min(pictures, PICTURES)


def passes(spec: PreprocessSpec) -> int:
    """How many times `find_mistake` runs a network over the pictures."""
    return sum(len(choices) for _, choices in _choices(spec, swapped=False))


def _choices(spec: PreprocessSpec, *, swapped: bool) -> list[tuple[PreprocessSpec, list[Choice]]]:
    """Other preprocessings, by what resizes the pictures for them."""
    resized = [(changed, [(options, changed, False)]) for options, changed in other_geometry(spec)]
    return [(spec, list(other_values(spec, swapped=swapped))), *resized]


def _tried(classifier: Classifier, split: Split, *, swapped: bool, advance: Callable[[int], None]) -> Iterator[Trial]:
    """The answers with each other preprocessing."""
    choices = _choices(classifier.spec, swapped=swapped)
    rows: dict[str, list[np.ndarray]] = {options: [] for _, own in choices for options, _, _ in own}
    numbers: list[int] = []
    for indices, resized in _resized([spec for spec, _ in choices], split):
        numbers += indices
        for pixels, (_, own) in zip(resized, choices, strict=True):
            for options, changed, flipped in own:
                rows[options].append(_logits(classifier, changed, pixels, flipped=flipped))
                advance(len(indices))
    advance((len(split) - len(numbers)) * len(rows))  # the unreadable ones
    for options, parts in rows.items():
        yield Trial(options, np.concatenate(parts), np.array(numbers, np.int64))


def other_values(spec: PreprocessSpec, *, swapped: bool) -> Iterator[Choice]:
    """Other normalisations and orders of the channels."""
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
    """Other parts of the picture, orders of crop and resize, and filters. Those with the fewest options come first."""
    for interpolation in dict.fromkeys((spec.interpolation, *get_args(Interpolation))):
        filtered = [] if interpolation == spec.interpolation else [f"--interpolation {interpolation}"]
        own = replace(spec, interpolation=interpolation)
        if filtered:
            yield " ".join(filtered), own
        if spec.resize != "squash":
            yield " ".join(["--resize squash", *filtered]), replace(own, resize="squash", crop_fraction=1.0)
        for resize in dict.fromkeys((spec.resize, "crop", "shorter")):
            for fraction in _fractions(spec, resize):
                options = [f"--resize {resize} --crop-fraction {fraction:g}", *filtered]
                yield " ".join(options), replace(own, resize=resize, crop_fraction=fraction)


def _fractions(spec: PreprocessSpec, resize: ResizeMode) -> Iterator[float]:
    """Those to try with a resize. The given one of the given resize was tried already."""
    if resize == "squash":
        return
    if spec.resize not in ("squash", resize):
        yield spec.crop_fraction
    for fraction in (1.0, PHOTO_CROP):
        if spec.resize == "squash" or not math.isclose(fraction, spec.crop_fraction, abs_tol=0.01):
            yield fraction


def _resized(specs: Sequence[PreprocessSpec], split: Split) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Some readable pictures at a time: where they stand in the split, and float32 `[n, 3, S, S]` in 0..255 per spec.

    Each picture is decoded once.
    """
    resizes = [Resize(spec) for spec in specs]
    most = max(1, min(BATCH, MAX_BYTES // (len(specs) * 3 * 4 * specs[0].image_size ** 2)))
    readable = (
        (index, picture) for index, picture in decode(split.pictures) if not isinstance(picture, UnreadablePictureError)
    )
    rows = ((index, [resize(picture) for resize in resizes]) for index, picture in readable)
    while part := list(islice(rows, most)):
        yield [index for index, _ in part], [torch.stack(each) for each in zip(*(row for _, row in part), strict=True)]


def _logits(classifier: Classifier, spec: PreprocessSpec, pixels: Tensor, *, flipped: bool = False) -> np.ndarray:
    """The answers of a network with another preprocessing, float32 `[n, K]`."""
    place = next(classifier.network.parameters()).device
    values = Preprocess(spec).normalise(pixels.flip(1) if flipped else pixels)
    logits: np.ndarray = classifier.network(values.to(place)).float().cpu().numpy()
    return logits


def _best(trials: Sequence[Trial], labels: np.ndarray, given: np.ndarray) -> Better | None:
    """The trial with the most right answers, of equal ones that with the fewest options, then with the lowest loss.

    The loss alone would favour sharper pictures, whose answers have more contrast.

    Only trials count that a sign test over the pictures finds better than what was given.

    Args:
        given: which pictures are right now, bool `[N]`.
    """
    best: tuple[float, int, float] | None = None
    better: Better | None = None
    for trial in trials:
        wanted, before = labels[trial.numbers], given[trial.numbers]
        right = trial.logits.argmax(1) == wanted
        gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
        likelihood = float(log_softmax(trial.logits)[np.arange(len(wanted)), wanted].mean())
        rank = float(right.mean()), -trial.options.count("--"), likelihood
        if gained > lost and tail(gained, gained + lost, 0.5) < SURE / len(trials) and (best is None or rank > best):
            best, better = rank, Better(trial.options, int(before.sum()), int(right.sum()), len(right))
    return better
