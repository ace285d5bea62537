"""What parity allows: one table by precision, input, format and provider, the reasons beside the figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from zoo.specs import ExporterSpec, Input, Precision

STANDARD = 1e-4  # the tolerance that `ExporterSpec` declares when nothing is said
NOISE = 4  # how many times the classifier's own rounding a file in fp32 may diverge
WIDEST = 0.5  # of the spread, for ordinary pictures: more would let mistakes pass
COARSE = 2 * 2.0**13  # the same in fp16 or TF32, whose mantissas have 10 bits where fp32 has 23


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Bounds of one kind of file; differences of logits in units of their spread.

    Attributes:
        largest, p99, mean: limits of the differences to the classifier, over all logits of all pictures. None means no
            limit.
        itself: between two answers of the file to one picture: alone and in a batch, optimised or not.
        again: between two answers of one session to the same batch.
        tie: if the classifier's two best logits are closer than this, they may swap.
        agreement: share of the other pictures that must keep their class.
        edges: whether pictures that are not from the split count too. Every runtime must survive them, but not every
            precision must get them right.
        noise: logits may diverge by this many times the classifier's own rounding, if that is more than the bounds.
            None if rounding does not explain the differences.
    """

    largest: float | None
    p99: float
    mean: float
    itself: float
    again: float = 1e-4
    tie: float
    agreement: float = 1.0
    edges: bool = True
    noise: float | None = NOISE

    def times(self, rounding: float) -> float:
        """The factor on `largest` for a classifier that itself rounds by this share of the spread."""
        if self.noise is None or self.largest is None or not math.isfinite(rounding):
            return 0.0
        return self.noise * rounding / self.largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """One line of the table; `*` stands for all."""

    precision: Precision
    format: str = "*"
    input: Input | str = "*"
    device: str = "*"
    allowed: Allowed
    why: str


TABLE: tuple[Tolerance, ...] = (
    Tolerance(
        precision="fp32",
        device="cpu",
        allowed=Allowed(largest=1e-4, p99=1e-4, mean=5e-5, itself=1e-4, tie=2e-4),
        why="Sums are added in another order: at most 5.3e-5 of the spread in 80 architectures and three formats "
        "(docs/export-matrix.md). If the input is a tensor, preprocessing in numpy adds 5e-6 (ResNet18 and "
        "EfficientNet-Lite0 on photos), so no separate row is needed. Of the mistakes in the tests, only one changed "
        "weight stays below these limits. The check `inside` finds it.",
    ),
    Tolerance(
        precision="fp32",
        device="cuda",
        allowed=Allowed(largest=2e-2, p99=1e-2, mean=5e-3, itself=1e-2, again=1e-2, tie=4e-2, noise=COARSE),
        why="By default, tensor cores round the operands of convolutions and products to TF32, with 10 bits of "
        "mantissa. Simulated on a CPU, that moved EfficientNet-Lite0's logits by 0.0032 at most and 0.001 on average. "
        "The limits are about six times that. Not measured on a GPU.",
    ),
    Tolerance(
        precision="fp16",
        allowed=Allowed(largest=5e-2, p99=3e-2, mean=1e-2, itself=5e-2, tie=1e-1, noise=COARSE),
        why="Weights and the outputs of layers have 10 bits of mantissa. EfficientNet-Lite0's logits moved by 0.0071 "
        "at most and 0.0017 on average (simulated), those of a ResNet18 in a real file by 0.020 and 0.0037. Some CPU "
        "runtimes compute parts in fp32 and round at other places after they optimise the program. So a file may "
        "differ from itself by as much. Networks amplify a rounding error as they do in fp32: in an EfficientNet-B2, a "
        "B4, a MobileNetV2 and a MobileNetV3, files diverged by 0.1 to 1.1 times 2^13 times the classifier's rounding "
        "in fp32.",
    ),
    Tolerance(
        precision="int8",
        allowed=Allowed(largest=None, p99=1.5, mean=0.35, itself=0.5, tie=0.5, agreement=0.95, edges=False, noise=None),
        why="256 levels: EfficientNet-Lite0's logits moved by 0.15 on average and 0.5 at most. A limit for single "
        "logits cannot separate good files from bad ones. The limit on lost accuracy can, and the mean catches gross "
        "mistakes. Ranges are calibrated on real pictures. So noise and pictures enlarged by repeated rows do not "
        "count: in an EfficientNet-B0 trained on digits, they moved by 72 and 7 spreads. Rounding between two levels "
        "made optimised and plain sessions differ by 0.32 in that network, and by 0.06 in EfficientNet-Lite0.",
    ),
)


def allowed(
    exporter: ExporterSpec, precision: Precision, takes: Input, device: str, *, rounding: float = 0.0
) -> Tolerance:
    """The first row that fits, scaled by the format's own tolerance or by the classifier's own rounding.

    `ExporterSpec.tolerance` applies to fp32: if a format declares twice the standard, all its limits in fp32 double.
    The loss in fp16 and int8 does not depend on the format. In fp16 it depends on how much the network amplifies
    rounding errors.

    Args:
        rounding: the difference of the classifier's logits between fp32 and fp64, relative to their spread.
    """
    wanted = (precision, exporter.name, takes, device)
    row = next(
        row
        for row in TABLE
        if all(
            mine in ("*", its)
            for mine, its in zip((row.precision, row.format, row.input, row.device), wanted, strict=True)
        )
    )
    own = row.allowed
    if own.largest is None:
        return row
    declared = exporter.tolerance / STANDARD if precision == "fp32" else 1.0
    scale = max(declared, min(own.times(rounding), WIDEST / own.largest))
    return replace(
        row,
        allowed=replace(
            own,
            largest=own.largest * scale,
            p99=own.p99 * scale,
            mean=own.mean * scale,
            itself=own.itself * scale,
            again=own.again * scale,
            tie=own.tie * scale,
        ),
    )
