"""Checks an artifact: its content against a hash, its numbers against recorded answers to synthetic pictures.

Each finding stands alone. A file with a wrong hash still runs, to check its numbers. Anyone who changes a file can
change the hash in its card too, so a right hash does not make a program safer. If another tool rewrote the file, its
numbers are what matters. `data` and `against` are about the file that was exported, so they need a right hash.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.card import Card
from zoo.artifacts.predictor import Predictor, read_card
from zoo.errors import ArtifactError, ExportError, MissingExtraError
from zoo.html import table, text
from zoo.parity.process import fresh_process
from zoo.parity.refusal import LateError, RefusedError
from zoo.parity.self_check import Finding, elsewhere, not_made, self_check, self_check_of
from zoo.processes.children import ANSWER_SECONDS, check_time_limit
from zoo.progress import say_nothing
from zoo.recipes.keywords import suggesting
from zoo.registry import registry
from zoo.specs import BUDGET, Precision, WriteOptions

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation
    from zoo.evaluation.given import Data
    from zoo.evaluation.pictures import EvalSet
    from zoo.runs.run import Run
    from zoo.specs import ExporterSpec

# Shares of the pictures whose class may differ from the recorded one; one picture always may.
FLIPS: dict[Precision, float] = {
    "fp32": 1e-3,  # versions of the JPEG decoder differ by a grey level
    "fp16": 2e-3,
    "int8": 1e-2,
}
RESULTS = {True: "passed", False: "FAILED", None: "not checked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The findings about a file.

    Attributes:
        findings: `hash` and `numbers`, and also `data` and `against` if they were asked for.
    """

    path: Path
    card: Card
    findings: dict[str, Finding]

    def __repr__(self) -> str:
        checks = ", ".join(f"{name} {RESULTS[finding.passed]}" for name, finding in self.findings.items())
        return f"Verification('{self.path}': {checks})"

    def _repr_html_(self) -> str:
        rows = ((text(name), RESULTS[finding.passed], text(finding.summary)) for name, finding in self.findings.items())
        return table(str(self.path), ("check", "result", ""), rows, names={0, 1, 2})

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed."""
        return all(finding.passed is True for finding in self.findings.values())


@suggesting
def verify(
    path: Path | str,
    *,
    data: Data | None = None,
    against: Run | Path | str | None = None,
    device: str = "cpu",
    data_root: str | None = None,
    time_limit: float = ANSWER_SECONDS,
    progress: Callable[[str], None] = say_nothing,
) -> Verification:
    """Checks a file against its card, and if asked also against pictures and the run that it came from.

    Args:
        data: the dataset whose figures the card records: a name, a folder, a list file, a `zoo.data.Dataset`, or a
            `zoo.data.Split` whose labels count in the classes of the card.
        against: the run or its folder; its classifier needs torch.
        device: `cpu` or `cuda`.
        data_root: folder that holds the named datasets.
        time_limit: seconds for each batch. The limit for opening the file is at least a minute.
        progress: called with each step.

    Raises:
        ArtifactError: the file was not written by `zoo export`, or its card is not valid.
        UsageError: the file, the dataset or the run does not exist.
        DataError: the pictures cannot be read.
        MissingExtraError: `against` without torch.
    """
    check_time_limit(time_limit)
    path = Path(path)
    card, exporter = read_card(path), registry().exporter_for(path).spec
    # Missing data is reported before the slow checks.
    eval_set = None if data is None else _pictures(path, card, data, data_root)
    run = None if against is None else _run_at(against)
    progress("checking its content")
    findings = {"hash": _hash(exporter, path, card)}
    progress("checking its numbers")
    findings["numbers"] = self_check(path, card, device, time_limit)
    shipped = findings["hash"].passed
    if eval_set:

        def figures() -> Finding:
            try:
                with fresh_process(path, device=device, time_limit=time_limit) as runtime:
                    return _figures(Predictor(card, runtime), eval_set, progress)
            except LateError:
                raise
            except RefusedError as error:
                if device != "cpu":
                    return elsewhere(error.reason)
                return Finding(passed=False, summary=f"The artifact does not run: {error.reason}.")

        findings["data"] = _made(figures, shipped)
    if run:
        agreement = partial(_agreement, run, exporter, path, card, time_limit=time_limit, progress=progress)
        findings["against"] = _made(agreement, shipped)
    return Verification(path=path, card=card, findings=findings)


def verify_loaded(path: Path, predictor: Predictor, device: str = "cpu") -> Verification:
    """Makes the checks of `verify` that need no data in this process, with a program that is loaded already.

    For a process that may crash: `verify` starts one itself.

    Args:
        path: the file that the predictor was loaded from, as it is now.

    Raises:
        ArtifactError: the file was not written by `zoo export`, or its card is not valid.
        UsageError: the file does not exist.
    """
    card, exporter = read_card(path), registry().exporter_for(path).spec
    findings = {"hash": _hash(exporter, path, card), "numbers": self_check_of(predictor.runtime, card, device)}
    return Verification(path=path, card=card, findings=findings)


def _made(check: Callable[[], Finding], shipped: bool | None) -> Finding:
    if not shipped:
        return not_made("the file is not the one that was exported")
    try:
        return check()
    except (ArtifactError, ExportError) as error:  # also a run without heat maps, for a file that has some
        return Finding(passed=False, summary=str(error))


def _hash(exporter: ExporterSpec, path: Path, card: Card) -> Finding:
    found = exporter.content_hash(path)
    figures = {"found": found, "recorded": card.content_hash}
    if found == card.content_hash:
        return Finding(passed=True, summary=f"The content is what the card describes: {found}", figures=figures)
    summary = f"The content was changed after the export: its hash is {found}, the card says {card.content_hash}"
    return Finding(passed=False, summary=summary, figures=figures)


def _pictures(path: Path, card: Card, data: Data, data_root: str | None) -> EvalSet:
    from zoo.evaluation.given import given_set
    from zoo.evaluation.pictures import choose
    from zoo.evaluation.target import find_target, place_of

    if not isinstance(data, str | os.PathLike):
        return given_set(data, card.classes, card.preprocess.pixel_range)
    data = os.fspath(data)
    encoding = card.recipe.get("encoding")
    place, own = place_of(
        find_target(path), data, encoding=encoding if isinstance(encoding, str) else None, data_root=data_root
    )
    # A card holds only the last part of a folder's name. The validation pictures may come from that folder.
    own = own or Path(data).resolve().name == card.dataset.source
    return choose(place, card.classes, None, own=own)


def _figures(predictor: Predictor, eval_set: EvalSet, progress: Callable[[str], None]) -> Finding:
    from zoo.evaluation.pictures import evaluate

    card = predictor.card
    done, total = 0, len(eval_set.split)

    def advance(steps: int) -> None:
        nonlocal done
        done += steps
        progress(f"evaluating {eval_set.split_name} pictures ({done:,} of {total:,})")

    advance(0)
    return _judged(evaluate(predictor.stream, eval_set, card.classes, advance), card)


def _judged(found: Evaluation, card: Card) -> Finding:
    figures, recorded = found.figures, card.metrics
    number, accuracy = figures["num_pictures"], recorded.get("top1")
    here = f"{figures['top1']:.2%} of {number:,} {found.split_name} pictures"
    report = {"split": found.split_name, "found": figures, "recorded": recorded, "recorded_split": card.metrics_split}
    same = found.split_name in (card.metrics_split, "all") and recorded.get("num_pictures") == number
    if not same or not isinstance(accuracy, float | int):
        figures_of = f"the card's figures are from {_count(recorded)} {card.metrics_split} pictures"
        summary = (
            f"Not comparable: the accuracy is {here}, but {figures_of if recorded else 'the card has no figures'}. "
            "For other pictures, use zoo evaluate."
        )
        return Finding(passed=None, summary=summary, figures=report)
    # The recorded figures are the classifier's. A file in lower precision may have lost its budget.
    share = 0.0 if card.precision == "fp32" else _budget(card) / 100
    allowed = max(1.0, FLIPS[card.precision] * number, share * number)
    flips = abs(figures["top1"] - accuracy) * number
    return Finding(
        passed=flips <= allowed + 1e-6,  # shares have been rounded
        summary=f"The accuracy is {here}, and the card says {accuracy:.2%} of {card.metrics_split} pictures "
        f"(pictures that may differ: {allowed:.0f}).",
        figures=report | {"allowed_pictures": allowed},
    )


def _budget(card: Card) -> float:
    """The points of accuracy that the file was allowed to lose at its export."""
    checks = card.parity.get("checks")
    given = [check for check in checks if isinstance(check, dict)] if isinstance(checks, list) else []
    budgets = [check.get("allowed") for check in given if check.get("name") == "accuracy"]
    return next((float(one) for one in budgets if isinstance(one, int | float)), BUDGET)


def _count(recorded: dict[str, Any]) -> str:
    number = recorded.get("num_pictures")
    return f"{number:,}" if type(number) is int else "an unknown number of"


def _run_at(run: Run | Path | str) -> Run:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("Comparing with a run", "train") from None
    from zoo.runs.run import Run

    return run if isinstance(run, Run) else Run(run)


def _agreement(
    run: Run, exporter: ExporterSpec, path: Path, card: Card, *, time_limit: float, progress: Callable[[str], None]
) -> Finding:
    from zoo import parity
    from zoo.parity.references import reference_of

    if run.classes != card.classes or run.preprocess != card.preprocess:
        return Finding(passed=False, summary="The run and the card have different classes or preprocessing.")
    report = parity.check(
        reference_of(run, progress=progress),
        exporter,
        path,
        options=WriteOptions(input=card.input, precision=card.precision, heatmap=card.exported.get("heatmap") is True),
        budget=_budget(card),
        time_limit=time_limit,
        progress=lambda done, total: progress(f"comparing it with the run ({done} of {total} batches)"),
    )
    aside = len(report["rough_pictures"])
    summary = f"The logits differ from the run's by at most {report['max']:.1e} of their spread" + (
        f" (without {aside} picture{'s' * (aside > 1)} where the classifier itself rounds more)." if aside else "."
    )
    return Finding(passed=True, summary=summary, figures=report)
