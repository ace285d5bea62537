"""What parity allows: one table by precision, input, format and provider, the reasons beside the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zoo.specs import ExporterSpec, Input, Precision

STANDARD = 1e-4  # the tolerance that `ExporterSpec` declares when nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Bounds of one kind of file; differences of logits in units of their spread.

    Attributes:
        largest, p99, mean: of all logits of all pictures, against the classifier; None where no bound means
            anything.
        itself: between two answers of the file to one picture: alone and in a batch, now and again.
        tie: two best logits of the classifier that are closer than this may swap.
        agreement: share of the other pictures that keep their class.
    """

    largest: float | None
    p99: float
    mean: float
    itself: float
    tie: float
    agreement: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; `*` stands for all."""

    precision: Precision
    format: str = "*"
    input: Input | str = "*"
    device: str = "*"
    allowed: Allowed
    why: str


_EXACT = Allowed(largest=1e-4, p99=5e-5, mean=2e-5, itself=1e-4, tie=2e-4)

TABLE: tuple[Row, ...] = (Row(precision="fp32", device="cpu", allowed=_EXACT, why="todo"),)


def allowed(exporter: ExporterSpec, precision: Precision, takes: Input, device: str) -> Row:
    """The first row that fits, scaled by what the format declares.

    `ExporterSpec.tolerance` is about fp32: a format that declares twice the standard is allowed twice of everything in
    its rows of fp32. What fp16 and int8 lose is a matter of the numbers, whatever the format.
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
    if precision != "fp32":
        return row
    scale = exporter.tolerance / STANDARD
    own = row.allowed
    assert own.largest is not None
    return replace(
        row,
        allowed=replace(
            own,
            largest=own.largest * scale,
            p99=own.p99 * scale,
            mean=own.mean * scale,
            itself=own.itself * scale,
            tie=own.tie * scale,
        ),
    )
