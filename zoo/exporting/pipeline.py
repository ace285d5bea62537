"""From a run to an artifact: it agrees or it does not ship.

The file is written under a temporary name beside its place, compared with the classifier, given its card,
opened again and compared again, and only then renamed. Whatever goes wrong, what was there before is there
afterwards, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.predictor import read_card
from zoo.errors import ZooError
from zoo.exporting.card_writing import make_card
from zoo.exporting.files import destination, prepared
from zoo.exporting.options import check_output, check_path, checked
from zoo.files import data_path
from zoo.parity.references import reference_of
from zoo.parity.self_check import reference_outputs
from zoo.processes.children import ANSWER_SECONDS
from zoo.progress import say_nothing
from zoo.runs.run import Run
from zoo.specs import BUDGET, CalibrationMethod, Depth, Input, Precision, WriteOptions

if TYPE_CHECKING:
    from zoo.artifacts.card import Card
    from zoo.parity import Reference
    from zoo.specs import ExporterSpec, Written


@dataclass(frozen=True, slots=True)
class Artifact:
    """One exported file.

    Attributes:
        format: the exporter's name.
        report: of the parity check, as `zoo.parity.check` describes it.
    """

    path: Path
    format: str
    report: dict[str, Any]
    card: Card

    @property
    def weights(self) -> Path | None:
        """Where they lie, if they do not lie in the file."""
        return _weights(self.path, self.card)


def export(
    run: Run | Path | str,
    exporter: str = "onnx",
    output: Path | str | None = None,
    *,
    input: Input = "pixels",  # noqa: A002  (the command's name for it)
    precision: Precision = "fp32",
    opset: int | None = None,
    external_data: bool = False,
    parity: Depth = "quick",
    calibration_pictures: int | None = None,
    calibration_method: CalibrationMethod | None = None,
    accuracy_budget: float | None = None,
    time_limit: float = ANSWER_SECONDS,
    overwrite: bool = False,
    progress: bool | Callable[[str], None] = False,
    reference: Reference | None = None,
) -> Artifact:
    """Exports the classifier of a run as one file that was checked against it.

    Args:
        run: a training, or its folder.
        exporter: name of a format (`zoo list exporters`).
        output: the file; the suffix of its format is added where it is missing. By default `model` with that
            suffix in the run's folder `export`; `model-tensor`, `model-int8`, … for other inputs and precisions.
            Text with a slash at its end is a folder that exists, for a file of that name.
        input: `pixels` (uint8 `[N, H, W, 3]`, preprocessing inside) or `tensor` (float32 `[N, 3, S, S]`).
        precision: of the network inside; inputs and outputs stay as they are.
        opset: version of the format's operators.
        external_data: write the weights into a file of their own beside the artifact, for more than 2 GB.
        parity: `quick` compares for about half a minute, `full` on every picture of the split.
        calibration_pictures, calibration_method: of int8, as `zoo.exporting.int8_calibration.calibration` takes them.
        accuracy_budget: points of accuracy that fp16 and int8 may lose; 1 unless given.
        time_limit: seconds for each answer of the file in its checks; opening it has a minute at least.
        overwrite: replace a file that exists, and its weights where they lie beside it.
        progress: whether to show on stderr what `zoo export` shows there; a function is called with what is being
            done.
        reference: of this run and depth, where several files share it.

    Raises:
        UsageError: the format is unknown or lacks what is asked for, an option cannot have its value, or the output
            exists or cannot be a file.
        ExportError: the network cannot be expressed in the format, or the file cannot be written.
        ParityError: the file does not agree with the classifier; it is not kept.
    """
    spec, options = checked(
        exporter,
        input=input,
        precision=precision,
        opset=opset,
        external_data=external_data,
        parity=parity,
        calibration_pictures=calibration_pictures,
        calibration_method=calibration_method,
        accuracy_budget=accuracy_budget,
        time_limit=time_limit,
    )
    run = run if isinstance(run, Run) else Run(check_path("run", run))
    target = target_of(run, spec, options, output, overwrite=overwrite)
    replaced = None if external_data else _weights_beside(target)
    with shown(run, progress) as say, prepared(target, overwrite=overwrite) as temporary:
        reference = reference or reference_of(run, parity, say)
        if precision == "int8":
            from zoo.exporting.int8_calibration import calibration

            say("choosing pictures to calibrate with")
            chosen = calibration(
                run,
                reference,
                takes=input,
                method=calibration_method,
                pictures=calibration_pictures,
                budget=accuracy_budget,
                time_limit=time_limit,
            )
            options = replace(options, calibration=chosen)
        say(f"{spec.name}: writing the file")
        written = spec.write(reference.classifier, temporary, options)
        budget = BUDGET if accuracy_budget is None else accuracy_budget
        report, card = _finish(
            run,
            reference,
            spec,
            temporary,
            options=options,
            written=written,
            budget=budget,
            time_limit=time_limit,
            progress=say,
        )
    if replaced:
        with suppress(OSError):  # nothing reads it any more
            replaced.unlink()
    return Artifact(target, spec.name, report, card)


def _finish(
    run: Run,
    reference: Reference,
    spec: ExporterSpec,
    path: Path,
    *,
    options: WriteOptions,
    written: Written,
    budget: float,
    time_limit: float,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], Card]:
    """Compares a file, gives it its card, and compares what then ships. Raises `ParityError`."""
    from zoo import parity
    from zoo.artifacts.card import Card
    from zoo.parity.process import fresh_process

    def counted(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{spec.name}: {what} ({done} of {total} batches)")

    report = parity.check(
        reference,
        spec,
        path,
        options=options,
        written=written,
        budget=budget,
        time_limit=time_limit,
        progress=counted("comparing it with the classifier"),
    )
    with fresh_process(path, run.preprocess, options.input, time_limit=time_limit) as artifact:
        own = reference_outputs(
            (artifact, partial(artifact, optimised=False)),
            reference.classifier,
            precision=options.precision,
            logit_std=report["spread"],
            tolerance=spec.tolerance,
        )
    content_hash = spec.content_hash(path)
    card = make_card(run, spec, options, written, parity=report, reference=own, content_hash=content_hash)
    sealed = card.sealed()
    spec.write_card(path, sealed)
    parity.check_final(
        reference, spec, path, report, time_limit=time_limit, progress=counted("checking the final file")
    )
    return report, Card.parse(sealed)


@contextmanager
def shown(run: Run, progress: bool | Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Gives a function to call with what is being done: it shows that on stderr, or is `progress`, or says nothing."""
    if callable(progress):
        yield progress
    elif progress:
        from zoo.progress import Reporter

        reporter = Reporter()
        reporter.say(f"Exporting {run.path}")
        with reporter.console.status("starting") as status:
            yield status.update
    else:
        yield say_nothing


def target_of(
    run: Run, spec: ExporterSpec, options: WriteOptions, output: Path | str | None, *, overwrite: bool
) -> Path:
    """The file to write. Raises `UsageError` where it cannot be written."""
    unusual = [options.input] * (options.input != "pixels") + [options.precision] * (options.precision != "fp32")
    stem = "-".join(["model", *unusual])
    if output is not None:
        check_output(spec, output)
    return destination(run.path / "export", stem, spec.suffix, output, overwrite=overwrite, data=options.external_data)


def _weights(path: Path, card: Card) -> Path | None:
    return data_path(path) if card.exported.get("external_data") else None


def _weights_beside(path: Path) -> Path | None:
    """The file of weights that belongs to an artifact, if there is one."""
    try:
        return _weights(path, read_card(path))
    except ZooError:  # nothing there, or nothing that says what belongs to it
        return None
