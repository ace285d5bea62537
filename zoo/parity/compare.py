"""The checks of parity: each has a name, what it covered, its worst figure and the limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.metrics import predicted
from zoo.parity.cases import ROWS
from zoo.parity.differences import Compared, compare, counts, tolerance_scales
from zoo.parity.references import Reference, not_finite
from zoo.parity.tolerances import Allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check.

    Attributes:
        covered: what was compared.
        worst: the worst figure, in the unit of the check; None for checks without a figure.
        allowed: the limit of `worst`.
        reason: a clause that says what is wrong; empty if the check passed.
    """

    name: str
    covered: str
    worst: float | None = None
    allowed: float | None = None
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """The check as a card holds it."""
        figures = {"worst": self.worst, "allowed": self.allowed} if self.worst is not None else {}
        return {"name": self.name, "passed": not self.reason, "covered": self.covered} | figures


@dataclass(slots=True, eq=False)
class Outputs:
    """The logits of an artifact, float32 `[n, K]` each.

    Attributes:
        logits: one array per case, in the order of the reference.
        alone: single rows that ran alone, by their number.
        again: pairs of answers to the same pictures, in both kinds of session.
        unoptimised: by case number, answers of a session that does not optimise the program.
    """

    logits: list[np.ndarray] = field(default_factory=list)
    alone: dict[int, np.ndarray] = field(default_factory=dict)
    again: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    unoptimised: dict[int, np.ndarray] = field(default_factory=dict)


def finite(outputs: Outputs) -> CheckResult:
    """Checks whether the answers can be compared at all. Their shapes were checked when they arrived."""
    broken = not_finite(outputs.logits)
    reason = f"its logits of {broken} pictures are not finite numbers" if broken else ""
    return CheckResult(name="finite", covered=f"{len(outputs.logits):,} batches", reason=reason)


def findings(reference: Reference, outputs: Outputs, allowed: Allowed, budget: float) -> Iterator[CheckResult]:
    """The checks that compare numbers.

    Args:
        budget: points of accuracy that the artifact may lose.
    """
    both = compare(reference, outputs.logits, allowed)
    yield _logits(both, allowed)
    yield _top1(both, allowed)
    yield from _against_itself(reference, outputs, allowed)
    if reference.labelled:
        yield accuracy_kept(accuracies(reference, outputs), budget)


def figures(reference: Reference, outputs: Outputs, allowed: Allowed) -> dict[str, Any]:
    """The numbers of the report."""
    both = compare(reference, outputs.logits, allowed)
    difference, clear = both.difference[both.ordinary], both.clear(allowed)
    cases = reference.cases[: len(outputs.logits)]
    return {
        "max": float(difference.max()),
        "p99": float(np.quantile(difference, 0.99)),
        "mean": float(difference.mean()),
        "tolerance": allowed.largest,
        "top1_agreement": both.agreement(clear),
        "near_ties": int((~clear).sum()),
        "near_tie_pictures": both.listed(~clear),
        "rough_pictures": both.listed(both.tolerance_scale > 1),
        "pictures": len(both.want),
        "real_pictures": sum(len(case.indices) for case in cases),
        "split": reference.split_name,
        "sizes": len({case.size for case in cases}),
        "batches": sorted({len(rows) for rows in outputs.logits} | {1}),
        "spread": reference.logit_std,
        "rounding": reference.rounding / reference.logit_std,
        **({"accuracy": accuracies(reference, outputs)} if reference.labelled else {}),
    }


def accuracies(reference: Reference, outputs: Outputs) -> dict[str, Any]:
    """The accuracy of both sides on the compared pictures of the split."""
    real = [number for number in reference.of_kind("real") if number < len(outputs.logits)]
    labels = reference.split.labels[[index for number in real for index in reference.cases[number].indices]]
    sides = {"classifier": reference.logits, "artifact": outputs.logits}
    right = {
        name: float((predicted(np.concatenate([logits[number] for number in real])) == labels).mean())
        for name, logits in sides.items()
    }
    return right | {"pictures": len(labels)}


def _logits(both: Compared, allowed: Allowed) -> CheckResult:
    difference, rough = both.difference, int((both.tolerance_scale > 1).sum())
    wider = f" (wider bounds for {rough}, where the classifier itself rounds more)" if rough else ""
    worst = {
        "by up to": (float(difference.max()), allowed.largest),
        "at the 99th percentile by": (float(np.quantile(difference, 0.99)), allowed.p99),
        "on average by": (float(difference.mean()), allowed.mean),
    }
    over = [
        f"its logits differ {how} {value:.3g} of their spread (allowed: {bound:g})"
        for how, (value, bound) in worst.items()
        if bound is not None and not value <= bound  # nan is over every bound
    ]
    main = "on average by" if allowed.largest is None else "by up to"
    return CheckResult(
        name="logits",
        covered=f"{difference.size:,} logits of {len(difference):,} pictures{wider}",
        worst=worst[main][0],
        allowed=worst[main][1],
        reason=over[0] if over else "",
    )


def _top1(both: Compared, allowed: Allowed) -> CheckResult:
    clear = both.clear(allowed)
    agreement, number = both.agreement(clear), int(clear.sum())
    may_swap = 1 - allowed.agreement
    if may_swap and number:
        may_swap = max(may_swap, 1 / number)  # always one picture
    failed = 1 - agreement > may_swap + 1e-9
    return CheckResult(
        name="top-1",
        covered=f"{number:,} pictures without a near tie",
        worst=agreement,
        allowed=1 - may_swap,
        reason=f"{agreement:.2%} of the {number} pictures without a near tie keep their class" if failed else "",
    )


def _against_itself(reference: Reference, outputs: Outputs, allowed: Allowed) -> Iterator[CheckResult]:
    rows = np.concatenate(outputs.logits[:2])

    def apart(
        name: str, covered: str, pairs: list[tuple[int, np.ndarray, np.ndarray]], bound: float, says: str
    ) -> CheckResult:
        scales = tolerance_scales(reference, pairs, allowed)
        differences = [np.abs(one - other).max() / scale for (_, one, other), scale in zip(pairs, scales, strict=True)]
        worst = float(np.max(differences)) / reference.logit_std
        reason = f"{says} (by {worst:.3g} of their spread; allowed: {bound:g})"
        reason = "" if worst <= bound else reason
        return CheckResult(name=name, covered=covered, worst=worst, allowed=bound, reason=reason)

    yield apart(
        "row alone",
        f"{len(outputs.alone)} pictures alone and in a batch",
        [(int(number >= ROWS[0]), one[0], rows[number]) for number, one in outputs.alone.items()],
        allowed.itself,
        "a picture's answer depends on the others in its batch",
    )
    yield apart(
        "deterministic",
        f"{len(outputs.again)} batches twice",
        [(0, one, other) for one, other in outputs.again],
        allowed.again,
        "its answers to the same pictures differ from call to call, as if dropout were active (eval() was not called)",
    )
    plain = [number for number in outputs.unoptimised if counts(reference, number, allowed)]
    yield apart(
        "unoptimised session",
        f"{len(plain)} batches without the runtime's optimisation",
        [(number, outputs.unoptimised[number], outputs.logits[number]) for number in plain],
        allowed.itself,
        "its answers depend on whether the runtime optimises its program",
    )


def maps_agree(found: np.ndarray, wanted: np.ndarray, allowed: Allowed) -> CheckResult:
    """Compares class activation maps, `[n, K, h, w]`, relative to their spread."""
    bound = allowed.largest if allowed.largest is not None else allowed.itself
    if found.shape != wanted.shape:
        worst, reason = float("inf"), f"its heat maps have shape {list(found.shape)} instead of {list(wanted.shape)}"
    else:
        worst = float(np.abs(found - wanted).max() / (wanted.std() or 1.0))
        reason = f"its heat maps differ by up to {worst:.3g} of their spread (allowed: {bound:g})"
    return CheckResult(
        name="heat maps",
        covered=f"{wanted[..., 0, 0].size:,} maps of {wanted.shape[2]} x {wanted.shape[3]} places",
        worst=min(worst, 1e9),
        allowed=bound,
        reason="" if worst <= bound else reason,
    )


def accuracy_kept(accuracy: dict[str, Any], budget: float) -> CheckResult:
    """Compares the lost accuracy with `budget` in points; takes what `accuracies` returns."""
    lost = 100 * (accuracy["classifier"] - accuracy["artifact"])
    bound = max(budget, 100 / accuracy["pictures"])  # one picture may be a near tie
    return CheckResult(
        name="accuracy",
        covered=f"{accuracy['pictures']:,} labelled pictures",
        worst=lost,
        allowed=bound,
        reason=f"it loses {lost:.2f} points of accuracy (allowed: {bound:.2f})" if lost > bound + 1e-9 else "",
    )
