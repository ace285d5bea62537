"""The self-check: an artifact's answers to synthetic pictures, kept in its card, must repeat on any machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.artifacts.card import MAX_REFERENCE_CLASSES, Card, ReferenceOutputs
from zoo.errors import ParityError
from zoo.parity.process import Answers, fresh_process
from zoo.parity.refusal import LateError, RefusedError
from zoo.parity.synthetic import VERSION, VERSIONS, synthetic_pictures
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import Precision, PreprocessSpec, Runtime

if TYPE_CHECKING:
    from zoo.models.classifier import Classifier

# The largest difference of a logit, relative to the spread, that another machine may make. It is larger if the
# classifier or the file shows that the network amplifies rounding errors.
TOLERANCES: dict[Precision, float] = {
    "fp32": 1e-4,  # other instructions add in another order
    "fp16": 5e-2,  # some processors compute in fp16 what others convert to fp32
    "int8": 0.1,  # every layer rounds to 1 of 256 values; with weights of 7 bits, no sum is clipped on any processor
}
OTHERWISE = 3  # times what the runtime's optimisation of the program changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        passed: None if the check was not made.
        summary: a sentence for people.
        figures: JSON values.
    """

    passed: bool | None
    summary: str
    figures: dict[str, Any] = field(default_factory=dict)


def not_made(reason: str) -> Finding:
    return Finding(passed=None, summary=f"Not checked: {reason}.")


def listed_classes(num_classes: int) -> np.ndarray:
    """The classes whose logits a card holds, int64: all, or at most `MAX_REFERENCE_CLASSES`, evenly spaced."""
    count = min(num_classes, MAX_REFERENCE_CLASSES)
    return np.linspace(0, num_classes - 1, count).round().astype(np.int64)


def reference_outputs(
    runtimes: Iterable[Runtime], classifier: Classifier, *, precision: Precision, logit_std: float, tolerance: float
) -> ReferenceOutputs:
    """The reference outputs for the card of a file that agrees with its classifier.

    Args:
        runtimes: both take pixels. The first is the one that users get, the second runs the program as written.
        classifier: in fp32.
        logit_std: standard deviation of the logits, as parity measured it.
        tolerance: the format's own tolerance in fp32. The larger of it and `TOLERANCES` counts.

    Raises:
        ParityError: the logits are not finite.
    """
    logits, plain = (_logits(runtime, classifier.spec) for runtime in runtimes)
    if not np.isfinite(logits + plain).all():
        raise ParityError(
            "The artifact's logits of synthetic pictures are not finite numbers.",
            "Export it in fp32, or train again with a lower --learning-rate.",
            code="logits-not-finite",
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
    """How far rounding alone may move the logits of synthetic pictures, by the rules of `zoo.parity`."""
    from zoo.parity.references import rounding_on
    from zoo.parity.tolerances import COARSE, NOISE

    times = {"fp32": NOISE, "fp16": COARSE, "int8": 0}[precision]
    if not times:
        return 0.0
    return times * rounding_on(
        classifier, *(picture[None] for picture in synthetic_pictures(classifier.spec.image_size))
    )


def _logits(runtime: Runtime, spec: PreprocessSpec, version: int = VERSION) -> np.ndarray:
    return np.concatenate([runtime(picture[None]) for picture in synthetic_pictures(spec.image_size, version)])


def check_final(artifact: Answers, card: Card) -> None:
    """Opens the final file as a user does, with its card and content hash, and compares its answers with its card.

    Args:
        artifact: the process that compared the file before it had a card.

    Raises:
        ParityError: the file cannot be opened, or gives other answers than before.
    """
    assert card.reference is not None
    found = _compared(_logits(partial(artifact, opened="shipped"), card.preprocess), card, card.reference, "cpu")
    if not found.passed:
        raise RefusedError(f"with its card, it gives other answers: {found.summary}", code="parity-final")


def self_check(path: Path, card: Card, device: str, time_limit: float = ANSWER_SECONDS) -> Finding:
    """Runs a file in its own process, because a damaged file may crash it, and compares the answers with its card.

    Args:
        device: `cpu` or `cuda`. A file that runs only on the CPU counts as not checked, not as failed.
        time_limit: seconds for each answer.
    """
    reference = card.reference
    if reference is None or reference.pictures not in VERSIONS:
        return _without_reference(reference)
    found = _logits_of(path, card, device, time_limit)
    if not isinstance(found, str):
        return _compared(found, card, reference, device)
    if device != "cpu" and not isinstance(_logits_of(path, card, "cpu", time_limit), str):
        return elsewhere(found)
    return Finding(passed=False, summary=f"The artifact does not run: {found}")


def self_check_of(runtime: Runtime, card: Card, device: str) -> Finding:
    """Like `self_check`, with a program that runs in this process. A damaged file may crash it.

    Args:
        runtime: uint8 `[N, H, W, 3]` in, logits `[N, K]` out.
    """
    reference = card.reference
    if reference is None or reference.pictures not in VERSIONS:
        return _without_reference(reference)
    try:
        logits = _logits(runtime, card.preprocess, reference.pictures)
    except Exception as error:  # runtimes raise classes of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Finding(passed=False, summary=f"The artifact does not run: {reason}")
    return _compared(logits, card, reference, device)


def _without_reference(reference: ReferenceOutputs | None) -> Finding:
    if reference is None:
        return not_made("the card has no reference outputs; cards of newer exports do")
    return not_made(
        f"the card has answers to version {reference.pictures} of the synthetic pictures, "
        f"and this visionzoo makes versions up to {VERSION}"
    )


def elsewhere(reason: str) -> Finding:
    """The finding for a sound file that the device cannot run."""
    return Finding(passed=None, summary=f"Not checked: {reason}")


def _logits_of(path: Path, card: Card, device: str, time_limit: float) -> np.ndarray | str:
    """The logits of the file from its own process, or the reason why there are none."""
    try:
        with fresh_process(path, card.preprocess, card.input, device, time_limit=time_limit) as artifact:
            assert card.reference is not None
            return _logits(artifact, card.preprocess, card.reference.pictures)
    except LateError as error:
        return f"{error.reason}. {error.remedy}"
    except RefusedError as error:
        return error.reason
    except ValueError:  # of np.concatenate
        return "its answers have different shapes or no shape."


def _compared(logits: np.ndarray, card: Card, reference: ReferenceOutputs, device: str) -> Finding:
    recorded = np.array(reference.logits)
    if logits.shape != (len(recorded), len(card.classes)):
        expected = [len(recorded), len(card.classes)]
        summary = f"The artifact's logits have shape {list(logits.shape)} instead of {expected}."
        return Finding(passed=False, summary=summary)
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
