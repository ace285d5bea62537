"""Two sides of a comparison, picture by picture, and how far apart they may be on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.parity.references import Reference
from zoo.parity.tolerances import WIDEST, Allowed

MAX_LISTED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Both sides, picture by picture.

    Attributes:
        want, got: logits in units of the spread, float64 `[N, K]`.
        tolerance_scale: factor on the bounds of each picture, float64 `[N]`. It is above 1 only where the
            classifier itself rounds more.
        names: of the N pictures.
    """

    want: np.ndarray
    got: np.ndarray
    tolerance_scale: np.ndarray
    names: list[str]

    @property
    def ordinary(self) -> np.ndarray:
        """Which pictures have the normal bounds, bool `[N]`; all pictures if none has."""
        found: np.ndarray = self.tolerance_scale == 1
        return found if found.any() else ~found

    @property
    def difference(self) -> np.ndarray:
        """Differences of logits, divided by the factor on the bounds, float64 `[N, K]`."""
        found: np.ndarray = np.abs(self.want - self.got) / self.tolerance_scale[:, None]
        return found

    def clear(self, allowed: Allowed) -> np.ndarray:
        """Which pictures are not near ties, bool `[N]`."""
        best = np.sort(self.want, axis=1)
        clear: np.ndarray = best[:, -1] - best[:, -2] > allowed.tie * self.tolerance_scale
        return clear

    def agreement(self, clear: np.ndarray) -> float:
        same = (self.want.argmax(axis=1) == self.got.argmax(axis=1))[clear]
        return float(same.mean()) if len(same) else 1.0

    def listed(self, rows: np.ndarray) -> list[str]:
        return [self.names[row] for row in np.flatnonzero(rows)[:MAX_LISTED]]


def counts(reference: Reference, number: int, allowed: Allowed) -> bool:
    """Whether a case is compared with the classifier."""
    return allowed.edges or reference.cases[number].kind == "real"


def compare(reference: Reference, said: Sequence[np.ndarray], allowed: Allowed) -> Compared:
    """Compares an artifact's logits, float32 `[n, K]` per case, with those of the reference."""
    chosen = [number for number in range(len(said)) if counts(reference, number, allowed)]
    names = []
    for number in chosen:
        case = reference.cases[number]
        numbers = case.indices or range(len(said[number]))
        names += [f"{reference.split_name if case.indices else case.name} picture {row}" for row in numbers]
    want, got = (
        np.concatenate([side[number] for number in chosen]).astype(np.float64) / reference.logit_std
        for side in (reference.logits, said)
    )
    tolerance_scale = tolerance_scales(
        reference, [(number, said[number], reference.logits[number]) for number in chosen], allowed
    )
    return Compared(want, got, np.repeat(tolerance_scale, [len(said[number]) for number in chosen]), names)


def tolerance_scales(
    reference: Reference, pairs: Sequence[tuple[int, np.ndarray, np.ndarray]], allowed: Allowed
) -> list[float]:
    """The factor on the bounds of each case, from its number and two answers to it.

    Only cases over the normal bounds run in float64, which is slow. The search ends at the first case that is over
    its wider bounds too.
    """
    scales = [1.0] * len(pairs)
    for position, (number, one, other) in enumerate(pairs):
        difference = np.abs(one.astype(np.float64) - other).max() / reference.logit_std
        if allowed.largest is None or difference <= allowed.largest:
            continue
        most = np.inf if reference.cases[number].kind == "edge" else WIDEST / allowed.largest
        scales[position] = max(1.0, min(most, allowed.times(reference.rounding_of(number) / reference.logit_std)))
        if not difference <= allowed.largest * scales[position]:
            break
    return scales
