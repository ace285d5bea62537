"""An artifact's answers to synthetic pictures: kept in its card, and given again on any machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.artifacts.card import MAX_REFERENCE_CLASSES, Card, ReferenceOutputs
from zoo.errors import ParityError
from zoo.parity.synthetic import VERSION, synthetic_pictures
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import Precision, PreprocessSpec, Runtime

if TYPE_CHECKING:
    from zoo.models.classifier import Classifier

# The largest difference of a logit, relative to the spread, that another machine may make, unless the classifier or the
# file itself shows that the network makes more of a rounding error.
TOLERANCES: dict[Precision, float] = {
    "fp32": 1e-4,  # other instructions add up in another order
    "fp16": 5e-2,  # some processors compute in fp16 what others convert to fp32
    "int8": 0.1,  # every layer rounds to 1 of 256 values; with weights of 7 bits, no sum is clipped on any processor
}
OTHERWISE = 3  # times what the runtime's own rewriting of the program changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        passed: None where it was not made.
        summary: for people.
        figures: JSON values.
    """

    passed: bool | None
    summary: str
    figures: dict[str, Any] = field(default_factory=dict)


def not_made(reason: str) -> Finding:
    return Finding(passed=None, summary=f"Not checked: {reason}.")


def listed_classes(num_classes: int) -> np.ndarray:
    """The classes whose logits a card holds, int64: all, or `MAX_REFERENCE_CLASSES` evenly spaced ones."""
    count = min(num_classes, MAX_REFERENCE_CLASSES)
    return np.linspace(0, num_classes - 1, count).round().astype(np.int64)


def reference_outputs(
    runtimes: Iterable[Runtime], classifier: Classifier, *, precision: Precision, logit_std: float, tolerance: float
) -> ReferenceOutputs:
    """What a card keeps of a file that agrees with its classifier.

    Args:
        runtimes: take pixels: the first as users have it, the second with the program as it was written.
        classifier: in fp32.
        logit_std: of the logits, as parity measured it.
        tolerance: of the format in fp32; it counts where it is larger than `TOLERANCES` has it.

    Raises:
        ParityError: the file answers with numbers that are not finite.
    """
    logits, plain = (_logits(runtime, classifier.spec) for runtime in runtimes)
    if not np.isfinite(logits + plain).all():
        raise ParityError(
            "The artifact answers synthetic pictures with numbers that are not finite.",
            "Export it in fp32, or train again with a lower --learning-rate.",
        )
    rows = logits[:, listed_classes(logits.shape[1])].tolist()
    return ReferenceOutputs(
        pictures=VERSION,
        logits=tuple(tuple(float(f"{value:.9g}") for value in row) for row in rows),
        spread=logit_std,
        tolerance=min(
            1.0,
            max(
                TOLERANCES[precision],
                tolerance if precision == "fp32" else 0,
                OTHERWISE * float(np.abs(logits - plain).max()) / logit_std,
                _rounding(classifier, precision) / logit_std,
            ),
        ),
    )


def _rounding(classifier: Classifier, precision: Precision) -> float:
    """How far the logits of synthetic pictures may be moved by rounding alone, as `zoo.parity` sees it."""
    from zoo.parity.references import rounding_on
    from zoo.parity.tolerances import COARSE, NOISE

    times = {"fp32": NOISE, "fp16": COARSE, "int8": 0}[precision]
    if not times:
        return 0.0
    return times * rounding_on(
        classifier, *(picture[None] for picture in synthetic_pictures(classifier.spec.image_size))
    )


def _logits(runtime: Runtime, spec: PreprocessSpec) -> np.ndarray:
    return np.concatenate([runtime(picture[None]) for picture in synthetic_pictures(spec.image_size)])


def self_check(path: Path, card: Card, device: str, time_limit: float = ANSWER_SECONDS) -> Finding:
    """Runs a file in a process of its own, which a damaged one may crash, and compares with its card.

    Args:
        device: `cpu` or `cuda`. What runs on the CPU alone was not checked, and is no bad file.
        time_limit: seconds for each answer.
    """
    reference = card.reference
    if reference is None:
        return not_made("the card holds no reference outputs, those of newer exports do")
    if reference.pictures != VERSION:
        return not_made(
            f"the reference outputs are of version {reference.pictures} of the synthetic pictures, "
            f"this visionzoo makes version {VERSION}"
        )
    found = _logits_of(path, card, device, time_limit)
    if not isinstance(found, str):
        return _compared(found, card, reference, device)
    if device != "cpu" and not isinstance(_logits_of(path, card, "cpu", time_limit), str):
        return elsewhere(found)
    return Finding(passed=False, summary=f"The artifact does not run: {found}")


def elsewhere(reason: str) -> Finding:
    """The finding about a sound file and a device that does not run it."""
    return Finding(passed=None, summary=f"Not checked: {reason}")


def _logits_of(path: Path, card: Card, device: str, time_limit: float) -> np.ndarray | str:
    """What the file answers in a process of its own, or why it does not."""
    from zoo.parity.process import fresh_process
    from zoo.parity.refusal import LateError, RefusedError

    try:
        with fresh_process(path, card.preprocess, card.input, device, time_limit=time_limit) as artifact:
            return _logits(artifact, card.preprocess)
    except LateError as error:
        return f"{error.reason}. {error.remedy}"
    except RefusedError as error:
        return error.reason
    except ValueError:  # of np.concatenate
        return "its answers have different shapes, or none."


def _compared(logits: np.ndarray, card: Card, reference: ReferenceOutputs, device: str) -> Finding:
    recorded = np.array(reference.logits)
    if logits.shape != (len(recorded), len(card.classes)):
        return Finding(passed=False, summary=f"The artifact answers with logits of shape {list(logits.shape)}.")
    # CUDA multiplies fp32 in TF32, whose mantissa is as long as fp16's.
    allowed = max(reference.tolerance, TOLERANCES["fp16"] if device == "cuda" else 0)
    found = logits[:, listed_classes(len(card.classes))]
    difference = float(np.abs(found - recorded).max() / reference.spread) if np.isfinite(logits).all() else None
    what = "are not finite" if difference is None else f"differ by at most {difference:.1e} of their spread"
    return Finding(
        passed=difference is not None and difference <= allowed,
        summary=f"The logits of {len(recorded)} synthetic pictures {what} (allowed: {allowed:g}).",
        figures={"pictures": len(recorded), "difference": difference, "allowed": allowed},
    )
