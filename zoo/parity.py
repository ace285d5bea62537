"""Parity: the measured agreement between an artifact in its own runtime and the classifier it came from.

The reference is the eager classifier in fp32 on the CPU. The artifact runs in a fresh process, which loads
nothing but what the artifact needs. Differences of logits are relative to the *spread* of the reference: the
standard deviation of a logit from picture to picture, root mean square over the classes. Both see

- real pictures of the evaluation split, evenly over its classes, at least 256 where there are as many, in
  their own sizes;
- some of them enlarged, thinned out and cut to odd sizes;
- noise, black and white at the network's size, 1 x 1, very wide, very tall and odd;

in batches of 1, 2 and 7 pictures.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zoo.data.stream import batches_by_size, decode
from zoo.data.types import Split
from zoo.errors import ParityError, UnreadablePictureError
from zoo.parity_process import fresh_process
from zoo.specs import ExporterSpec

if TYPE_CHECKING:
    from zoo.classifier import Classifier

REAL_PICTURES = 256
BATCHES = (7, 2, 1)
NOISE_PICTURES = 16  # what the fp64 copy sees
MIN_SPREAD = 100  # in units of the reference's own rounding noise

Kind = Literal["real", "resized", "noise", "black", "white"]
Case = tuple[Kind, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the classifier says of all cases.

    Attributes:
        split_name: `test` or `validation`.
        logits: float32 `[n, K]` per case, n pictures each.
        real_pictures: how many pictures come from the split; their cases are the first.
        spread: standard deviation of a logit over the real pictures.
        rounding: the largest difference of its logits between fp32 and fp64.
    """

    classifier: Classifier
    split_name: str
    split: Split
    logits: tuple[np.ndarray, ...]
    real_pictures: int
    spread: float
    rounding: float

    def cases(self) -> Iterator[Case]:
        """The same cases each time."""
        return cases(self.split, self.classifier.spec.image_size)


def cases(split: Split, image_size: int) -> Iterator[Case]:
    """Batches of pictures, uint8 `[n, H, W, 3]`, always the same for the same split."""
    sizes = itertools.cycle(BATCHES)
    kept: list[np.ndarray] = []
    for _, batch in batches_by_size(_real(split), sum(BATCHES) * 2):
        kept += [batch[0]] if len(kept) < max(BATCHES) else []
        start = 0
        while start < len(batch):
            part = batch[start : start + next(sizes)]
            start += len(part)
            yield "real", part
    for index, picture in enumerate(kept):
        yield "resized", _resized(picture, index)[None]
    rng = np.random.default_rng(0)
    for height, width in _sizes(image_size):
        for count in BATCHES:
            yield "noise", rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        yield "black", np.zeros((1, height, width, 3), np.uint8)
        yield "white", np.full((1, height, width, 3), 255, np.uint8)


def reference(classifier: Classifier, split_name: str, split: Split) -> Reference:
    """Runs the classifier over all cases.

    Args:
        classifier: in eval mode, fp32, on the CPU.

    Raises:
        ParityError: its logits say too little to compare with: fewer than two pictures, or differences
            between pictures within `MIN_SPREAD` times the rounding noise of fp32.
    """
    logits: list[np.ndarray] = []
    of_real: list[np.ndarray] = []
    sample: list[np.ndarray] = []
    for kind, images in cases(split, classifier.spec.image_size):
        logits.append(_logits(classifier, images))
        if kind == "real":
            of_real.append(logits[-1])
            if sum(len(batch) for batch in sample) < NOISE_PICTURES:
                sample.append(images)
    number = sum(len(rows) for rows in of_real)
    if number < 2:  # noqa: PLR2004
        raise ParityError(
            f"The {split_name} split has fewer than two readable pictures, too few for a parity check.",
            "Add pictures to it.",
        )
    spread = float(np.sqrt(np.concatenate(of_real).astype(np.float64).var(axis=0).mean()))
    precise = _fp64_logits(classifier, sample)
    rounding = max(float(np.abs(a - b).max()) for a, b in zip(of_real, precise, strict=False))
    if not spread > MIN_SPREAD * rounding:
        raise ParityError(
            f"The classifier's logits differ by {spread:.3g} from picture to picture and by {rounding:.3g} "
            "from rounding alone, so that no comparison with them means anything.",
            "Train it further: a classifier that has learnt something tells pictures apart.",
        )
    return Reference(classifier, split_name, split, tuple(logits), number, spread, rounding)


def check(
    expected: Reference,
    exporter: ExporterSpec,
    path: Path,
    *,
    whole: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Runs an artifact over all cases in a fresh process and compares.

    Args:
        whole: open the file as a user does, card and content hash included.
        progress: called with the cases done and their number.

    Returns:
        The report: `max`, `p99` and `mean` difference of logits relative to the spread, `top1_agreement`
        (share of pictures of the same class, outside near ties: where the two best logits of the reference
        are further apart than twice the tolerance), counts, seconds.

    Raises:
        ParityError: the artifact fails, or differs by more than the format's tolerance.
    """
    started = time.perf_counter()
    total = len(expected.logits)
    answers: list[np.ndarray] = []
    sizes: set[tuple[int, ...]] = set()
    with fresh_process(path, whole=whole) as artifact:
        for _, images in expected.cases():
            answers.append(artifact(images))
            sizes.add(images.shape[1:3])
            if progress:
                progress(len(answers), total)
    report = compare(expected, answers, exporter.tolerance)
    return report | {"sizes": len(sizes), "seconds": round(time.perf_counter() - started, 1)}


def compare(expected: Reference, answers: list[np.ndarray], tolerance: float) -> dict[str, Any]:
    """The report of `check`, from the logits float32 `[n, K]` that an artifact gave per case."""
    for want, got in zip(expected.logits, answers, strict=True):
        if got.shape != want.shape:
            raise _refused(f"it answers with logits of shape {list(got.shape)} instead of {list(want.shape)}")
        if not np.isfinite(got).all():
            raise _refused("it answers with logits that are no finite numbers")
    want = np.concatenate(expected.logits).astype(np.float64)
    got = np.concatenate(answers).astype(np.float64)
    difference = np.abs(want - got) / expected.spread
    largest, mean = float(difference.max()), float(difference.mean())
    best = np.sort(want, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * tolerance * expected.spread
    agree = (want.argmax(axis=1) == got.argmax(axis=1))[clear]
    agreement = float(agree.mean()) if len(agree) else 1.0
    if largest > tolerance or agreement < 1:
        raise _refused(
            f"its logits differ by up to {largest:.3g} of their spread (allowed: {tolerance:g}) "
            f"and {agreement:.2%} of the {int(clear.sum())} pictures without a near tie keep their class"
        )
    return {
        "max": largest,
        "p99": float(np.quantile(difference, 0.99)),
        "mean": mean,
        "tolerance": tolerance,
        "top1_agreement": agreement,
        "near_ties": int((~clear).sum()),
        "pictures": len(want),
        "real_pictures": expected.real_pictures,
        "split": expected.split_name,
        "batches": sorted({len(rows) for rows in expected.logits}),
        "spread": expected.spread,
        "rounding": expected.rounding / expected.spread,
    }


def _refused(reason: str) -> ParityError:
    return ParityError(
        f"The artifact does not agree with its classifier: {reason}. It was not kept.",
        "Try another format, or report the backbone together with these figures.",
    )


def _real(split: Split) -> Iterator[tuple[int, np.ndarray]]:
    """Readable pictures, evenly over the classes; further ones stand in for those that cannot be read."""
    by_class = np.argsort(split.labels, kind="stable")
    number = min(REAL_PICTURES, len(split))
    chosen = by_class[np.linspace(0, len(split) - 1, number).round().astype(np.int64)]
    order = np.concatenate([chosen, np.setdiff1d(by_class, chosen)])
    readable = (
        (index, picture)
        for index, picture in decode(split.subset(order).pictures)
        if not isinstance(picture, UnreadablePictureError)
    )
    return itertools.islice(readable, REAL_PICTURES)


def _sizes(image_size: int) -> list[tuple[int, int]]:
    return [
        (image_size, image_size),
        (2 * image_size + 1, image_size - 1),
        (37, 53),
        (1, 1),
        (1, 5000),
        (3000, 2),
    ]


def _resized(picture: np.ndarray, index: int) -> np.ndarray:
    picture = picture[:640, :640]
    if index % 2:
        return picture.repeat(3, axis=0).repeat(2, axis=1)[1:]
    return np.ascontiguousarray(picture[:: 1 + index // 2, ::2])


def _logits(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        logits: np.ndarray = classifier(torch.from_numpy(images)).numpy()
    return logits


def _fp64_logits(classifier: Classifier, batches: list[np.ndarray]) -> list[np.ndarray]:
    import torch

    precise = copy.deepcopy(classifier).double()
    default = torch.get_default_dtype()
    # Networks make tensors on their way, in the default type.
    torch.set_default_dtype(torch.float64)
    try:
        return [_logits(precise, images) for images in batches]
    except RuntimeError as error:
        raise ParityError(
            f"The network cannot run in float64, which its parity check needs: {str(error).splitlines()[0]}",
            "Let it make its tensors in the type of its parameters.",
        ) from None
    finally:
        torch.set_default_dtype(default)
