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
        largest, p99, mean: of all logits of all pictures, against the classifier; None where no bound means
            anything.
        itself: between two answers of the file to one picture: alone and in a batch, optimised or not.
        again: between two answers of one session to the same batch.
        tie: two best logits of the classifier that are closer than this may swap.
        agreement: share of the other pictures that keep their class.
        edges: whether pictures count that are not of the split as they are; what every runtime must survive, not every
            precision must get right.
        noise: how many times the classifier's own rounding logits may diverge where that is more than the bounds; None
            where it has no part in what moves them.
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
        """How many times `largest` logits may diverge where the classifier itself rounds by so much of the spread."""
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
        why="Sums in another order: at most 5.3e-5 of the spread in 80 architectures and three formats "
        "(docs/export-matrix.md). Where the input is a tensor, preprocessing in numpy adds 5e-6 (ResNet18 and "
        "EfficientNet-Lite0 on photos), which needs no row of its own. Of the mistakes that the tests make, one "
        "changed weight alone stays below: the check `inside` finds that.",
    ),
    Tolerance(
        precision="fp32",
        device="cuda",
        allowed=Allowed(largest=2e-2, p99=1e-2, mean=5e-3, itself=1e-2, again=1e-2, tie=4e-2, noise=COARSE),
        why="Tensor cores round the operands of convolutions and products to TF32, 10 bits of mantissa, unless told "
        "otherwise, as onnxruntime is not. Imitated on a CPU, that moved EfficientNet-Lite0's logits by 0.0032 at "
        "most and 0.001 on average; the rows are about six times that. Not measured on a GPU.",
    ),
    Tolerance(
        precision="fp16",
        allowed=Allowed(largest=5e-2, p99=3e-2, mean=1e-2, itself=5e-2, tie=1e-1, noise=COARSE),
        why="10 bits of mantissa for weights and for what every layer hands on: EfficientNet-Lite0's logits moved by "
        "0.0071 at most and 0.0017 on average (imitated), those of a ResNet18 in a real file by 0.020 and 0.0037. CPU "
        "runtimes that compute parts in fp32 round at other places when they rewrite the program, so that a file may "
        "differ from itself as much. Networks multiply a rounding error by what they multiply it by in fp32: in an "
        "EfficientNet-B2, a B4, a MobileNetV2 and a MobileNetV3, files diverged by 0.1 to 1.1 times 2^13 times the "
        "classifier's rounding in fp32.",
    ),
    Tolerance(
        precision="int8",
        allowed=Allowed(largest=None, p99=1.5, mean=0.35, itself=0.5, tie=0.5, agreement=0.95, edges=False, noise=None),
        why="256 levels: EfficientNet-Lite0's logits moved by 0.15 on average, 0.5 at most. No bound of one "
        "logit tells a good file from a bad one, the accuracy that it may lose does; the mean catches gross "
        "mistakes. Ranges are calibrated on real pictures, so that noise and pictures that were enlarged by repeating "
        "rows do not count: in an EfficientNet-B0 trained on digits, the former moved by 72 spreads, the latter by 7. "
        "Rounding at a border of levels made optimised and plain sessions differ by 0.32 there, 0.06 in "
        "EfficientNet-Lite0.",
    ),
)


def allowed(
    exporter: ExporterSpec, precision: Precision, takes: Input, device: str, *, rounding: float = 0.0
) -> Tolerance:
    """The first row that fits, scaled by what the format declares, or by how much the classifier itself rounds.

    `ExporterSpec.tolerance` is about fp32: a format that declares twice the standard is allowed twice of everything in
    its rows of fp32. What fp16 and int8 lose is a matter of the numbers, whatever the format; in fp16, of how much the
    network makes of them.

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
