"""The artifact's side of parity: run the file in another process, compare its answers, refuse it if they diverge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zoo.parity.cases import ROWS, Case, fitted
from zoo.parity.compare import CheckResult, Outputs, figures, findings, finite, maps_agree
from zoo.parity.diagnosis import batches_taken, diagnose
from zoo.parity.differences import counts
from zoo.parity.process import Answers, fresh_process
from zoo.parity.references import Reference
from zoo.parity.refusal import LateError, RefusedError
from zoo.parity.tolerances import Allowed, allowed
from zoo.processes.children import ANSWER_SECONDS
from zoo.specs import ExporterSpec, Input, Precision, WriteOptions, Written

QUICK_SECONDS = 10.0
ALONE = (0, ROWS[0] - 1, ROWS[0])  # rows that also run alone: first and last of a batch, first of the ragged one
UNOPTIMISED = 12  # cases

Progress = Callable[[int, int], None] | None


def check(
    reference: Reference,
    exporter: ExporterSpec,
    path: Path,
    *,
    options: WriteOptions | None = None,
    written: Written | None = None,
    artifact: Answers | None = None,
    budget: float = 1.0,
    device: str = "cpu",
    time_limit: float = ANSWER_SECONDS,
    progress: Progress = None,
) -> dict[str, Any]:
    """Runs an artifact over the cases and compares.

    Args:
        path: the file; a card in it is ignored.
        options: how the file was written.
        written: what its exporter returned.
        artifact: the running file. None starts a process for this check, on `device`.
        budget: points of accuracy that the file may lose.
        time_limit: seconds for each answer.
        progress: called with the cases done and their number.

    Returns:
        The report, for the card. `max`, `p99` and `mean` are differences of logits relative to the spread. They leave
        out the `rough_pictures`: there the classifier itself rounds more, and the bounds are wider. `top1_agreement` is
        the share of pictures that keep their class; `near_ties` are left out. `accuracy` has both sides. `checks` has
        the name, coverage and worst figure of each check. Counts and seconds follow.

    Raises:
        ParityError: the artifact fails, or diverges further than `zoo.parity.tolerances` allows.
    """
    started = time.perf_counter()
    options, written = options or WriteOptions(), written or Written()
    bounds = _bounds(reference, exporter, options.precision, options.input, device)
    try:
        started_here = fresh_process(path, reference.classifier.spec, options.input, device, time_limit=time_limit)
        with nullcontext(artifact) if artifact else started_here as running:
            outputs = _ask(reference, running, bounds, progress)
            maps = _maps(reference, running) if options.heatmap else None
    except LateError:
        raise
    except RefusedError as error:
        # onnxruntime 1.31's NchwcTransformer crashes on Vision Transformers in fp16.
        precision: Precision = "fp32" if options.precision == "fp32" else "fp16"
        raise RefusedError(error.reason, precision, code=error.code) from None
    found = [finite(outputs)]
    if not found[0].reason:
        found += findings(reference, outputs, bounds, budget)
    if maps is not None:
        found.append(maps_agree(*maps, bounds))
    if written.divergence:
        found.append(_inside(reference, path, options, written.divergence))
    _refuse(reference, outputs, found, options.precision)
    return figures(reference, outputs, bounds) | {
        "depth": reference.depth,
        "device": device,
        "checks": [finding.report() for finding in found],
        "covered": _covered(reference, outputs),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _bounds(reference: Reference, exporter: ExporterSpec, precision: Precision, takes: Input, device: str) -> Allowed:
    return allowed(exporter, precision, takes, device, rounding=reference.rounding / reference.logit_std).allowed


def _ask(reference: Reference, artifact: Answers, bounds: Allowed, progress: Progress) -> Outputs:
    """All answers that the checks compare; as many real pictures as the time allows."""
    outputs, started, total = Outputs(), float("inf"), len(reference.cases)
    with _files(reference) as feed:
        for number, case in enumerate(reference.cases):
            if number == reference.required:
                started = time.perf_counter()
            if reference.depth == "quick" and time.perf_counter() - started >= QUICK_SECONDS:
                break
            outputs.logits.append(_answer(reference, number, artifact, feed(case)))
            if progress:
                progress(number + 1, total)
        rows = np.concatenate([case.pixels(reference.split) for case in reference.cases[: len(ROWS)]])
        outputs.alone = {number: artifact(rows[number : number + 1]) for number in ALONE}
        first = [feed(case) for case in reference.cases[: len(ROWS)]]
        outputs.again = [(artifact(images), logits) for images, logits in zip(first, outputs.logits, strict=False)]
        counting = [number for number in range(len(outputs.logits)) if counts(reference, number, bounds)][:UNOPTIMISED]
        for number in sorted({*range(len(ROWS)), *counting}):
            outputs.unoptimised[number] = artifact(feed(reference.cases[number]), opened="plain")
        # A runtime that rewrites may drop what is random.
        outputs.again += [(artifact(images, opened="plain"), outputs.unoptimised[n]) for n, images in enumerate(first)]
    return outputs


def _maps(reference: Reference, artifact: Answers) -> tuple[np.ndarray, np.ndarray]:
    """The class activation maps of the first pictures: the artifact's and the classifier's."""
    from zoo.models.class_maps import class_maps

    pixels = reference.cases[0].pixels(reference.split)
    return artifact.maps(pixels), class_maps(reference.classifier, pixels)


def _answer(reference: Reference, number: int, artifact: Answers, pictures: np.ndarray | list[str]) -> np.ndarray:
    """The logits of one case, of the right shape. Raises `ParityError`, which names the accepted batch sizes."""
    wanted = reference.logits[number]
    try:
        logits = artifact(pictures)
    except LateError:
        raise
    except RefusedError as error:
        trouble, code = error.reason, error.code
    else:
        if logits.shape == wanted.shape:
            return logits
        trouble = f"its logits have shape {list(logits.shape)} instead of {list(wanted.shape)}"
        code = "logits-shape"
    limits = batches_taken(artifact, reference.cases[0].pixels(reference.split)[0]) if len(wanted) > 1 else None
    if limits:
        fixed = f"it fails on batches of {len(wanted)} ({limits}): {trouble}"
        raise RefusedError(fixed, code="batch-size-fixed") from None
    raise RefusedError(trouble, code=code) from None


@contextmanager
def _files(reference: Reference) -> Iterator[Callable[[Case], np.ndarray | list[str]]]:
    """Gives a function from a case to what the artifact's side gets. Files exist until the context ends."""
    with TemporaryDirectory(prefix="zoo-parity-") as folder:

        def feed(case: Case) -> np.ndarray | list[str]:
            if not case.file:
                return reference.feed(case)
            path = Path(folder, "picture")
            path.write_bytes(case.file)
            return [str(path)]

        yield feed


def _inside(
    reference: Reference, path: Path, options: WriteOptions, divergence: Callable[[Path, np.ndarray], str | None]
) -> CheckResult:
    size = reference.classifier.spec.image_size
    rows = reference.cases[0].pixels(reference.split)[:2]
    # Not the network's size: the resize is to be looked at too.
    images = np.stack([fitted(picture, size + size // 2, size + size // 3) for picture in rows])
    if options.input == "tensor":
        import torch

        images = reference.classifier.preprocess(torch.from_numpy(images)).numpy()
    reason = divergence(path, images)
    return CheckResult(
        name="inside", covered="weights, and values inside the network on 2 pictures", reason=reason or ""
    )


def _refuse(reference: Reference, outputs: Outputs, found: list[CheckResult], precision: Precision) -> None:
    """Raises `ParityError` if a check failed: its reason, the likely mistake, the first difference inside the file."""
    failed = {finding.name: finding.reason for finding in found if finding.reason}
    if not failed:
        return
    inside = failed.pop("inside", "")
    sentences, code = [], _code_of("inside")
    rounds = {"logits", "top-1", "unoptimised session", "accuracy"}
    if precision == "int8" and "unoptimised session" in failed:
        rounds.add("row alone")  # where optimisation alone moves its answers, so does another batch
    if precision == "fp16":
        rounds.add("finite")  # its largest number is 65504
    if failed:
        # What explains the others comes first.
        causes = [name for name in ("finite", "deterministic", "row alone") if name in failed.keys() - rounds]
        first = next(iter(causes or failed))
        sentences.append(f"{failed[first]} (failed checks: {', '.join(failed)})")
        code = _code_of(first)
    # Levels of int8 that do not reach far enough look like many mistakes; those are seen inside.
    explained = bool(failed.keys() & {"finite", "deterministic"}) or (precision == "int8" and not inside)
    if not explained and (mistake := diagnose(reference, outputs.logits)):
        sentences.append(mistake.sentence)
        code = mistake.code
    if inside:
        first_inside = "The first difference inside the file: " if sentences else "inside the file, "
        sentences.append(f"{first_inside}{inside}")
    by_rounding = not inside and failed.keys() <= rounds
    reason = ". ".join(sentence.rstrip(".") for sentence in sentences)
    raise RefusedError(reason, precision if by_rounding else "fp32", code=code)


def _code_of(check: str) -> str:
    """The error code of a check that failed: `parity-row-alone`."""
    return f"parity-{check.replace(' ', '-')}"


def _covered(reference: Reference, outputs: Outputs) -> str:
    cases = reference.cases[: len(outputs.logits)]
    counts = {
        kind: sum(len(rows) for case, rows in zip(cases, outputs.logits, strict=False) if case.kind == kind)
        for kind in ("real", "file", "edge")
    }
    return (
        f"{counts['real']:,} of {len(reference.split):,} {reference.split_name} pictures, {counts['file']} files with "
        f"EXIF rotation, {counts['edge']} edge pictures; {len({case.size for case in cases})} sizes in all"
    )
