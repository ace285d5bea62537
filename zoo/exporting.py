"""From a run to an artifact: it agrees or it does not ship.

The file is written under a temporary name beside its place, compared with the classifier, given its card,
opened again and compared again, and only then renamed. Whatever goes wrong, what was there before is there
afterwards, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.artifact import open_runtime
from zoo.card_making import make_card
from zoo.errors import ExportError, UsageError, reason_of
from zoo.registry import registry
from zoo.self_check import reference_outputs
from zoo.specs import LoadOptions, WriteOptions

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.parity import Reference
    from zoo.runs import Run
    from zoo.specs import ExporterSpec


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
    run: Run,
    exporter: str = "onnx",
    output: Path | str | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] = _say_nothing,
    reference: Reference | None = None,
) -> Artifact:
    """Exports the classifier of a run as one file that was checked against it.

    Args:
        exporter: name of a format (`zoo list exporters`).
        output: the file; the suffix of its format is added where it is missing. By default `model` with that
            suffix in the run's folder `export`.
        progress: called with what is being done.
        reference: of this run, where several formats share it.

    Raises:
        UsageError: the format is unknown, or the output exists or cannot be a file.
        ExportError: the network cannot be expressed in the format, or the file cannot be written.
        ParityError: the file does not agree with the classifier; it is not kept.
    """
    from zoo import parity

    spec = registry().exporter(exporter).spec
    target = destination(run, spec, output, overwrite=overwrite)
    with _temporary(target) as temporary:
        reference = reference or reference_of(run, progress)

        def check(what: str, *, whole: bool) -> dict[str, Any]:
            return parity.check(
                reference,
                spec,
                temporary,
                whole=whole,
                progress=lambda done, total: progress(f"{spec.name}: {what} ({done} of {total} batches)"),
            )

        progress(f"{spec.name}: writing the file")
        options = WriteOptions()
        written = spec.write(reference.classifier, temporary, options)
        report = check("comparing it with the classifier", whole=False)
        runtime = open_runtime(spec, temporary, options.input, run.preprocess, LoadOptions())
        own = reference_outputs(
            runtime, run.preprocess, precision=options.precision, spread=report["spread"], tolerance=spec.tolerance
        )
        content_hash = spec.content_hash(temporary)
        card = make_card(run, spec, options, written, parity=report, reference=own, content_hash=content_hash)
        spec.write_card(temporary, card.model_dump_json())
        check("checking the final file", whole=True)
        _place(temporary, target, overwrite=overwrite)
    return Artifact(target, spec.name, report, card)


def reference_of(run: Run, progress: Callable[[str], None] = _say_nothing) -> Reference:
    """What the run's classifier says of the cases of its parity check. Raises `ParityError`, `DataError`."""
    from zoo import parity

    progress("loading the run and its pictures")
    classifier = run.classifier()
    name, split = run.evaluation_split()
    progress("running the classifier on the pictures of the parity check")
    return parity.reference(classifier, name, split)


def destination(run: Run, exporter: ExporterSpec, output: Path | str | None, *, overwrite: bool) -> Path:
    """Where the artifact goes. Raises `UsageError`, before any work, where it cannot go there."""
    if output is None:
        target = run.path / "export" / f"model{exporter.suffix}"
        try:
            target.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"'{target.parent}' cannot be made: {reason_of(error)}.", "Name another --output."
            ) from None
    else:
        target = Path(output)
        if target.is_dir():
            raise UsageError(f"'{target}' is a folder.", f"Name a file in it: {target / 'model'}{exporter.suffix}")
        if not target.name.lower().endswith(exporter.suffix):
            target = target.with_name(target.name + exporter.suffix)
    _refuse_existing(target, overwrite=overwrite)
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder '{target.parent}'.", "Make it first, or name another --output.")
    return target


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.is_dir() or (target.exists() and not overwrite):
        raise UsageError(f"'{target}' exists already.", "Replace it with --overwrite, or name another --output.")


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file beside `target`, with its suffix, which is gone afterwards unless it was renamed."""
    path = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        path.touch()
        yield path
    except OSError as error:
        raise ExportError(
            f"'{target}' cannot be written: {reason_of(error)}.", "Free the place, or name another --output."
        ) from None
    finally:
        path.unlink(missing_ok=True)


def _place(temporary: Path, target: Path, *, overwrite: bool) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # after a power cut, a renamed file must not be empty
    _refuse_existing(target, overwrite=overwrite)
    temporary.replace(target)
