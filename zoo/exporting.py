"""From a run to an artifact: it agrees or it does not ship.

The file is written under a temporary name beside its place, compared with the classifier, given its card,
opened again and compared again, and only then renamed. Whatever goes wrong, what was there before is there
afterwards, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifact import open_runtime
from zoo.card_making import make_card
from zoo.errors import UsageError
from zoo.placing import destination, prepared
from zoo.registry import registry
from zoo.runs import Run
from zoo.self_check import reference_outputs
from zoo.specs import BUDGET, CalibrationMethod, Depth, Input, LoadOptions, Precision, WriteOptions

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.parity import Reference
    from zoo.specs import ExporterSpec, Written


def _say_nothing(_: str) -> None:
    pass


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
    overwrite: bool = False,
    progress: Callable[[str], None] = _say_nothing,
    reference: Reference | None = None,
) -> Artifact:
    """Exports the classifier of a run as one file that was checked against it.

    Args:
        run: a training, or its folder.
        exporter: name of a format (`zoo list exporters`).
        output: the file; the suffix of its format is added where it is missing. By default `model` with that
            suffix in the run's folder `export`; `model-tensor`, `model-int8`, … for other inputs and precisions.
        input: `pixels` (uint8 `[N, H, W, 3]`, preprocessing inside) or `tensor` (float32 `[N, 3, S, S]`).
        precision: of the network inside; inputs and outputs stay as they are.
        opset: version of the format's operators.
        external_data: write the weights into a file of their own beside the artifact, for more than 2 GB.
        parity: `quick` compares for about half a minute, `full` on every picture of the split.
        calibration_pictures, calibration_method: of int8, as `zoo.calibration.calibration` takes them.
        accuracy_budget: points of accuracy that fp16 and int8 may lose; 1 unless given.
        overwrite: replace a file that exists.
        progress: called with what is being done.
        reference: of this run and depth, where several files share it.

    Raises:
        UsageError: the format is unknown or lacks what is asked for, or the output exists or cannot be a file.
        ExportError: the network cannot be expressed in the format, or the file cannot be written.
        ParityError: the file does not agree with the classifier; it is not kept.
    """
    run = run if isinstance(run, Run) else Run(run)
    spec = registry().exporter(exporter).spec
    options = WriteOptions(input=input, precision=precision, opset=opset, external_data=external_data)
    check_options(spec, options)
    target = target_of(run, spec, options, output, overwrite=overwrite)
    with prepared(target, overwrite=overwrite) as temporary:
        reference = reference or reference_of(run, parity, progress)
        if precision == "int8":
            from zoo.calibration import calibration

            progress("choosing pictures to calibrate with")
            chosen = calibration(
                run,
                reference.classifier,
                exporter,
                takes=input,
                method=calibration_method,
                pictures=calibration_pictures,
                budget=accuracy_budget,
            )
            options = replace(options, calibration=chosen)
        progress(f"{spec.name}: writing the file")
        written = spec.write(reference.classifier, temporary, options)
        report, card = _finish(
            run,
            reference,
            spec,
            temporary,
            options=options,
            written=written,
            budget=BUDGET if accuracy_budget is None else accuracy_budget,
            progress=progress,
        )
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
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], Card]:
    """Compares a file, gives it its card, and compares what then ships. Raises `ParityError`."""
    from zoo import parity

    def counted(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(f"{spec.name}: {what} ({done} of {total} batches)")

    report = parity.check(
        reference,
        spec,
        path,
        options=options,
        written=written,
        budget=budget,
        progress=counted("comparing it with the classifier"),
    )
    runtime = open_runtime(spec, path, options.input, run.preprocess, LoadOptions())
    own = reference_outputs(
        runtime, run.preprocess, precision=options.precision, spread=report["spread"], tolerance=spec.tolerance
    )
    content_hash = spec.content_hash(path)
    card = make_card(run, spec, options, written, parity=report, reference=own, content_hash=content_hash)
    spec.write_card(path, card.sealed())
    parity.check_final(reference, spec, path, progress=counted("checking the final file"))
    return report, card


def check_options(spec: ExporterSpec, options: WriteOptions) -> None:
    """Raises `UsageError` where a format cannot do what it is asked for."""
    if options.input not in spec.inputs:
        raise UsageError(
            f"The format {spec.name} does not take {options.input} as input.",
            f"Leave out --input, or choose another: {', '.join(spec.inputs)}.",
        )
    if options.precision not in spec.precisions:
        raise UsageError(
            f"The format {spec.name} is not written in {options.precision}.",
            f"Its precisions are {', '.join(spec.precisions)}; see `zoo list exporters`.",
        )
    for name, given in (("opset", options.opset is not None), ("external_data", options.external_data)):
        if given and name not in spec.options:
            flag = name.replace("_", "-")
            raise UsageError(f"The format {spec.name} has no --{flag}.", f"Leave out --{flag}.")


def target_of(
    run: Run, spec: ExporterSpec, options: WriteOptions, output: Path | str | None, *, overwrite: bool
) -> Path:
    """The file to write. Raises `UsageError` where it cannot be written."""
    unusual = [options.input] * (options.input != "pixels") + [options.precision] * (options.precision != "fp32")
    return destination(run.path / "export", "-".join(["model", *unusual]), spec.suffix, output, overwrite=overwrite)


def reference_of(run: Run, depth: Depth = "quick", progress: Callable[[str], None] = _say_nothing) -> Reference:
    """What the run's classifier says of the cases of its parity check. Raises `ParityError`, `DataError`."""
    from zoo import parity

    progress("loading the run and its pictures")
    classifier = run.classifier()
    name, split = run.evaluation_split()
    what = "running the classifier on the pictures of the parity check"
    progress(what)
    return parity.reference(
        classifier,
        name,
        split,
        depth=depth,
        progress=lambda done, total: progress(f"{what} ({done:,} of {total:,} {name})"),
    )
