"""Exports a classifier. A file that does not agree with its classifier is not kept.

The file is written under a temporary name in the target folder and compared with the classifier. It gets its card, is
opened again, compared again and then renamed. If a step fails, older files stay as they were and nothing is left over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifacts.predictor import read_card
from zoo.artifacts.shown import card_rows
from zoo.errors import ExportError, ZooError
from zoo.exporting.card_writing import make_card
from zoo.exporting.examples import check_examples, chosen_examples
from zoo.exporting.files import destination, prepared
from zoo.exporting.network_code import with_place
from zoo.exporting.options import as_written, check_output, checked, named, naming_plugin
from zoo.exporting.run_hooks import tell
from zoo.exporting.source import Source, source_of
from zoo.files import data_path
from zoo.html import facts
from zoo.parity.self_check import reference_outputs
from zoo.processes.children import ANSWER_SECONDS
from zoo.progress import Reporter, say_nothing
from zoo.recipes.keywords import suggesting
from zoo.specs import BUDGET, CalibrationMethod, Depth, Input, Precision, WriteOptions

if TYPE_CHECKING:
    from zoo.artifacts.card import Card
    from zoo.artifacts.pictures import Picture
    from zoo.evaluation.given import Data
    from zoo.models.classifier import Classifier
    from zoo.parity import Reference
    from zoo.runs.run import Run
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

    def __repr__(self) -> str:
        figures = f"{self.card.precision}, largest difference {self.report['max']:.1e} of the logits' spread"
        return f"Artifact('{self.path}': {self.format}, {figures})"

    def _repr_html_(self) -> str:
        rows = card_rows(self.card)
        return facts(str(self.path), [*rows, ("compared on", self.report["covered"])])

    @property
    def weights(self) -> Path | None:
        """The weights file, if the weights are not in the artifact itself."""
        return _weights(self.path, self.card)


@suggesting
def export(
    run: Run | Classifier | Path | str,
    exporter: Path | str = "onnx",
    output: Path | str | None = None,
    *,
    input: Input = "pixels",  # noqa: A002  (the command's name for it)
    precision: Precision = "fp32",
    opset: int | None = None,
    external_data: bool = False,
    heatmap: bool = False,
    parity: Depth = "quick",
    calibration_pictures: int | None = None,
    calibration_method: CalibrationMethod | None = None,
    accuracy_budget: float | None = None,
    examples: int = 0,
    time_limit: float = ANSWER_SECONDS,
    overwrite: bool = False,
    progress: bool | Callable[[str], None] = False,
    reference: Reference | None = None,
    data: Path | str | None = None,
    pictures: Data | Iterable[Picture] | None = None,
) -> Artifact:
    """Exports the classifier of a run, or one of your own, as one file that was checked against it.

    Args:
        run: a training, its folder, or a `zoo.Classifier` around a network that was trained elsewhere.
        exporter: name of a format (`zoo list exporters`), or the file to write, whose suffix names the format.
        output: the file; a missing suffix is added. By default `model` with the suffix of the format, in the run's
            folder `export`, or in the working folder for a `zoo.Classifier`; `model-tensor`, `model-int8`, … for other
            inputs and precisions. Text that ends in a slash is an existing folder for a file of that default name.
        input: `pixels` (uint8 `[N, H, W, 3]`, preprocessing inside) or `tensor` (float32 `[N, 3, S, S]`).
        precision: of the network inside; the types of inputs and outputs do not change.
        opset: version of the format's operators.
        external_data: write the weights into a separate file beside the artifact, for more than 2 GB.
        heatmap: the file also computes heat maps of every class; see `zoo.models.class_maps`.
        parity: `quick` compares for about half a minute, `full` on every picture of the split.
        calibration_pictures, calibration_method: of int8; see `zoo.exporting.int8_calibration.calibration`.
        accuracy_budget: points of accuracy that fp16 and int8 may lose; by default 1.
        examples: how many test pictures the card holds, at most 24, also of your own: everyone who gets the file can
            see them.
        time_limit: seconds for each answer of the file in its checks. The limit for opening it is at least a minute.
        overwrite: replace an existing file, and the weights file beside it.
        progress: True shows on stderr what `zoo export` shows there. A function is called with each step.
        reference: of this run and depth, if several files share it.
        data: where the pictures of the run are now, if they have moved.
        pictures: what a `zoo.Classifier` is compared on; not for runs. The place of a dataset (a folder, a list file or
            a name), a `zoo.data.Dataset` or `Split`, or pictures as `Predictor.predict` takes them. If they have
            labels, the card says the accuracy on them. Other precisions than fp32 need labels.

    Raises:
        UsageError: the format is unknown or does not support an option, an option has a wrong value, or the output
            exists or cannot be a file, or the licence of a named dataset does not allow examples.
        ExportError: the network cannot be expressed in the format, or the file cannot be written.
        ParityError: the file does not agree with the classifier; it is not kept.
    """
    name, output = named(exporter, output)
    spec, options = checked(
        name,
        input=input,
        precision=precision,
        opset=opset,
        external_data=external_data,
        heatmap=heatmap,
        parity=parity,
        calibration_pictures=calibration_pictures,
        calibration_method=calibration_method,
        accuracy_budget=accuracy_budget,
        examples=examples,
        time_limit=time_limit,
    )
    source = source_of(run, precision=precision, data=data, pictures=pictures)
    target = target_of(source, spec, options, output, overwrite=overwrite)
    warning = check_examples(source, examples)
    if warning and progress is True:
        Reporter().warn(warning)
    replaced = None if external_data else _weights_beside(target)
    with shown(source, progress) as say, prepared(target, overwrite=overwrite) as temporary:
        reference = reference or source.reference(parity, say)
        if precision == "int8":
            from zoo.exporting.int8_calibration import calibration

            say("choosing pictures for the calibration")
            chosen = calibration(
                source,
                reference.classifier,
                takes=input,
                method=calibration_method,
                pictures=calibration_pictures,
                budget=accuracy_budget,
                time_limit=time_limit,
            )
            options = replace(options, calibration=chosen)
        say(f"{spec.name}: writing the file")
        try:
            written = as_written(spec, spec.write(reference.classifier, temporary, options), temporary)
        except ExportError as error:
            raise with_place(error, reference.classifier.network) from error.__cause__
        budget = BUDGET if accuracy_budget is None else accuracy_budget
        with naming_plugin(name):
            report, card = _finish(
                source,
                reference,
                spec,
                temporary,
                options=options,
                written=written,
                budget=budget,
                examples=examples,
                time_limit=time_limit,
                progress=say,
            )
    if replaced:
        with suppress(OSError):  # nothing reads it now
            replaced.unlink()
    artifact = Artifact(target, spec.name, report, card)
    tell(source, artifact)
    return artifact


def _finish(
    source: Source,
    reference: Reference,
    spec: ExporterSpec,
    path: Path,
    *,
    options: WriteOptions,
    written: Written,
    budget: float,
    examples: int,
    time_limit: float,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], Card]:
    """Compares a file, adds its card, and opens the final file. Raises `ParityError`."""
    from zoo import parity
    from zoo.artifacts.card import Card
    from zoo.parity.process import fresh_process

    def compared(done: int, total: int) -> None:
        progress(f"{spec.name}: comparing it with the classifier ({done} of {total} batches)")

    with fresh_process(path, source.preprocess, options.input, time_limit=time_limit) as artifact:
        report = parity.check(
            reference,
            spec,
            path,
            options=options,
            written=written,
            artifact=artifact,
            budget=budget,
            time_limit=time_limit,
            progress=compared,
        )
        own = reference_outputs(
            (artifact, partial(artifact, opened="plain")),
            reference.classifier,
            precision=options.precision,
            logit_std=report["spread"],
            tolerance=spec.tolerance,
        )
        content_hash = spec.content_hash(path)
        card = make_card(
            source.facts(progress),
            spec,
            options,
            written,
            parity=report,
            reference=own,
            content_hash=content_hash,
            examples=chosen_examples(reference.split, reference.classifier.classes, examples, source.seed),
        )
        sealed = card.sealed()
        spec.write_card(path, sealed)
        progress(f"{spec.name}: checking the final file")
        parity.check_final(artifact, card)
    return report, Card.parse(sealed)


@contextmanager
def shown(source: Source, progress: bool | Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Gives a function to call with each step: it shows the step on stderr, is `progress`, or does nothing."""
    if callable(progress):
        yield progress
    elif progress:
        reporter = Reporter()
        reporter.say(f"Exporting {source.title}")
        with reporter.console.status("starting") as status:
            yield status.update
    else:
        yield say_nothing


def target_of(
    source: Source, spec: ExporterSpec, options: WriteOptions, output: Path | str | None, *, overwrite: bool
) -> Path:
    """The file to write. Raises `UsageError` if it cannot be written."""
    unusual = [options.input] * (options.input != "pixels") + [options.precision] * (options.precision != "fp32")
    stem = "-".join(["model", *unusual])
    if output is not None:
        check_output(spec, output)
    return destination(source.folder, stem, spec.suffix, output, overwrite=overwrite, data=options.external_data)


def _weights(path: Path, card: Card) -> Path | None:
    return data_path(path) if card.exported.get("external_data") else None


def _weights_beside(path: Path) -> Path | None:
    """The weights file that belongs to an artifact, if there is one."""
    try:
        return _weights(path, read_card(path))
    except ZooError:  # without an artifact, or without a card that can be read
        return None
