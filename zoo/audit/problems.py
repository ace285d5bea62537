"""What is wrong with a dataset, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zoo.audit.duplicates import Double
from zoo.audit.scan import Scan
from zoo.data.seen import LITTLE
from zoo.errors import DataError

FEW = 5  # pictures of a class
IMBALANCE = 10  # times as many pictures in the largest class as in the smallest
TOO_MANY, EMPTY = "too-many-unreadable", "class-without-readable-pictures"
CUT = "The dataset has no validation split. The tenth of train that becomes one would hold copies of training pictures."


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        severity: `error` if a training would stop, or if labels or figures are wrong; else `warning`.
        kind: its name for programs.
        message: what is wrong, and how often.
        remedy: one or two sentences, or nothing if the message says enough.
        examples: every case, one line each.
        stops: whether `zoo train` refuses the dataset because of it.
    """

    severity: Literal["error", "warning"]
    kind: str
    message: str
    remedy: str = ""
    examples: tuple[str, ...] = ()
    stops: bool = False


def find_problems(
    found: Scan,
    doubles: Sequence[Double],
    classes: Sequence[str],
    refused: Sequence[tuple[str, DataError]],
    *,
    doubts: Sequence[str] = (),
    train: Mapping[str, Any],
) -> tuple[Problem, ...]:
    """All problems, errors first.

    Args:
        refused: splits that a training refuses, and its errors.
        doubts: of the dataset.
        train: the facts of the training split, as `zoo.audit.findings.Report` has them.
    """
    problems = [
        *_unreadable(found, refused),
        *_refused(found, classes, refused),
        *(Problem(severity="warning", kind="doubtful-labels", message=doubt) for doubt in doubts),
        *_shared(found, doubles),
        *_conflicts(found, doubles, classes),
        *_copies(found, doubles),
        *_values(found),
        *_crop(train),
        *_blank(found),
        *_balance(found, classes),
    ]
    return tuple(sorted(problems, key=lambda problem: problem.severity != "error"))


def class_counts(found: Scan, split: str, num_classes: int) -> np.ndarray:
    """Readable pictures of each class in a split, int64 `[K]`."""
    numbers = found.numbers(split)
    return np.bincount(found.labels[numbers][found.readable[numbers]], minlength=num_classes)


def _unreadable(found: Scan, refused: Sequence[tuple[str, DataError]]) -> Iterator[Problem]:
    refused_for_it = {split for split, error in refused if error.code == TOO_MANY}
    for split in found.splits:
        numbers = found.numbers(split).tolist()
        reasons = tuple(found.unreadable[number] for number in numbers if number in found.unreadable)
        stops = split in refused_for_it
        if reasons:
            share = "more than --max-unreadable allows" if stops else "left out"
            yield Problem(
                severity="error" if stops else "warning",
                kind="unreadable",
                message=f"Unreadable pictures in {split}: {len(reasons):,} of {len(numbers):,}, {share}.",
                remedy="Replace or remove them" + (", or allow more with --max-unreadable." if stops else "."),
                examples=reasons,
                stops=stops,
            )


def _refused(found: Scan, classes: Sequence[str], refused: Sequence[tuple[str, DataError]]) -> Iterator[Problem]:
    empty = [classes[i] for i in _where(class_counts(found, "train", len(classes)) == 0)]
    if empty:
        yield Problem(
            severity="error",
            kind="empty-class",
            message=f"Classes without a readable picture in train: {len(empty)} of {len(classes)}.",
            remedy="Add pictures to each of them, or remove it.",
            examples=tuple(empty),
            stops=True,
        )
    for split, error in refused:
        told = error.code == TOO_MANY or (error.code == EMPTY and any(f"'{name}'" in error.cause for name in empty))
        if not told:
            yield Problem(
                severity="error", kind=error.code, message=error.cause, remedy=error.remedy, stops=split != "test"
            )


def _shared(found: Scan, doubles: Sequence[Double]) -> Iterator[Problem]:
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        for kind, words in (("exact", f"are also in {first}"), ("near", f"nearly equal one in {first}")):
            pairs = [d for d in doubles if d.kind == kind and _splits(found, d) == (first, second)]
            many = len({pair.b for pair in pairs})
            trained = first == "train"
            if pairs:
                meaning = f"the figures on {second} will be too good" if trained else "the test is not independent"
                yield Problem(
                    severity="error" if trained else "warning",
                    kind=f"{kind}-leak",
                    message=f"Pictures in {second} that {words}: {many:,} of {len(found.splits[second]):,}; {meaning}.",
                    remedy=f"Remove each of them from {first} or from {second}.",
                    examples=_lines(found, pairs),
                )


def _conflicts(found: Scan, doubles: Sequence[Double], classes: Sequence[str]) -> Iterator[Problem]:
    def line(pair: Double) -> str:
        a, b = (classes[found.labels[number]] for number in (pair.a, pair.b))
        return f"'{a}': {found.name(pair.a)}, '{b}': {found.name(pair.b)}"

    for kind, words in (("exact", "Equal pictures"), ("near", "Nearly equal pictures")):
        pairs = [pair for pair in doubles if pair.kind == kind and found.labels[pair.a] != found.labels[pair.b]]
        if pairs:
            yield Problem(
                severity="error" if kind == "exact" else "warning",
                kind=f"{kind}-label-conflict",
                message=f"{words} with different labels: {len(pairs):,}.",
                remedy="Check which label is right, and remove the picture from the other class.",
                examples=tuple(line(pair) for pair in pairs),
            )


def _copies(found: Scan, doubles: Sequence[Double]) -> Iterator[Problem]:
    for split in found.splits:
        for kind, words in (("exact", "Exact copies"), ("near", "Nearly equal pictures")):
            alike = [d for d in doubles if d.kind == kind and _splits(found, d) == (split, split)]
            pairs = [pair for pair in alike if found.labels[pair.a] == found.labels[pair.b]]
            many = len({pair.b for pair in pairs})
            if pairs:
                remedy = "Keep one of each."
                yield Problem(
                    severity="warning",
                    kind=f"{kind}-duplicate",
                    message=f"{words} within {split}: {many:,} of {len(found.splits[split]):,}.",
                    remedy=f"{remedy} {CUT}" if split == "train" and "val" not in found.splits else remedy,
                    examples=_lines(found, pairs),
                )


def _values(found: Scan) -> Iterator[Problem]:
    for message, remedy in found.value_findings():
        yield Problem(severity="warning", kind="values", message=message, remedy=remedy)


def _crop(train: Mapping[str, Any]) -> Iterator[Problem]:
    if "median" in train and train["seen"] < LITTLE:
        yield Problem(
            severity="warning",
            kind="crop",
            message=f"The centre crop shows {train['seen']:.0%} of the median picture in train "
            "({width} x {height}).".format(**train["median"]),
            remedy="If important parts may be outside the crop, train with --resize squash.",
        )


def _blank(found: Scan) -> Iterator[Problem]:
    numbers = _where(found.blank)
    if numbers:
        yield Problem(
            severity="warning",
            kind="blank",
            message=f"Pictures of one flat colour: {len(numbers):,}.",
            remedy="Remove them, unless their class is meant to be empty.",
            examples=tuple(found.name(number) for number in numbers),
        )


def _balance(found: Scan, classes: Sequence[str]) -> Iterator[Problem]:
    counts = class_counts(found, "train", len(classes))
    few = [f"{classes[i]}: {counts[i]}" for i in _where((counts > 0) & (counts < FEW))]
    if few:
        yield Problem(
            severity="warning",
            kind="few-pictures",
            message=f"Classes with fewer than {FEW} pictures in train: {len(few)} of {len(classes)}.",
            remedy="Add pictures of them. So few teach the network little and leave almost none for validation.",
            examples=tuple(few),
        )
    least, most = int(counts.argmin()), int(counts.argmax())
    if 0 < counts[least] * IMBALANCE < counts[most]:
        yield Problem(
            severity="warning",
            kind="imbalance",
            message=f"Unequal classes in train: '{classes[most]}' has {counts[most]:,} pictures, "
            f"'{classes[least]}' has {counts[least]:,}.",
            remedy="Add pictures of the small classes. Judge by the figures of each class, not by the accuracy alone.",
        )
    for split in found.splits:
        missing = [classes[i] for i in _where(class_counts(found, split, len(classes)) == 0)]
        if missing and split != "train":
            yield Problem(
                severity="warning",
                kind="missing-class",
                message=f"Classes without a readable picture in {split}: {len(missing)} of {len(classes)}.",
                remedy=f"Add pictures of them. The figures on {split} say nothing about these classes.",
                examples=tuple(missing),
            )


def _where(mask: np.ndarray) -> list[int]:
    places: list[int] = np.flatnonzero(mask).tolist()
    return places


def _splits(found: Scan, pair: Double) -> tuple[str, str]:
    return found.split_of(pair.a), found.split_of(pair.b)


def _lines(found: Scan, pairs: Sequence[Double]) -> tuple[str, ...]:
    bits = [f" ({pair.distance} bits apart)" if pair.kind == "near" else "" for pair in pairs]
    return tuple(f"{found.name(p.b)} = {found.name(p.a)}{b}" for p, b in zip(pairs, bits, strict=True))
