"""`zoo evaluate`: the figures of a run or an exported file, on its own pictures or on others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output_file import check_target, require_matplotlib, writing
from zoo.cli.signals import ending
from zoo.errors import DataError, UsageError

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation
    from zoo.evaluation.pictures import EvalSet
    from zoo.evaluation.target import EvalTarget
    from zoo.recipes.place import PicturePlace

SHOWN_CLASSES = 20
SHOWN_UNREADABLE = 20


class SplitName(StrEnum):
    """Which pictures of a dataset."""

    TEST = "test"
    VAL = "val"
    TRAIN = "train"


class Device(StrEnum):
    """Where to compute."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@ending()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="RUN|ARTIFACT", help="Folder of a training, or an exported file.")],
    dataset: Annotated[
        str | None,
        typer.Argument(help="Name of a dataset, a folder, or a list file. Default: its own.", show_default=False),
    ] = None,
    *,
    split: Annotated[SplitName | None, typer.Option(help="Which pictures. Default: test, else val.")] = None,
    data_root: Annotated[str | None, typer.Option(help="Folder that holds the named datasets.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Text encoding of a list file. Default: utf-8.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write an HTML page too.")] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: all classes, mistakes and confusions.")] = False,
) -> None:
    """Measure a run or an exported file on pictures with known classes.

    Classes are matched by name. A folder with a sub-folder per class and no splits is evaluated as a whole.

    Examples:

        zoo evaluate runs/NAME

        zoo evaluate model.onnx ./new-photos --report report.html
    """
    from zoo.cli.console import warn
    from zoo.evaluation.target import find_target, place_of, warnings_of

    target = find_target(model)
    if report:
        require_matplotlib("Writing a report")
        check_target(report, "--report", "A report is an HTML page", ".html", ".htm")
    place, own = place_of(target, dataset, encoding=encoding, data_root=data_root)
    eval_set = _choose(target, place, split, own=own, model=model, named=dataset is not None)
    notes = [*eval_set.notes, *warnings_of(target, eval_set, own=own)]
    found = _run(target, eval_set, device)
    notes += eval_set.split.value_warnings(trained=True)
    notes += _differences(target, eval_set, found) if own else []
    for note in notes:
        warn(note)
    for sentence in found.unreadable[:SHOWN_UNREADABLE]:
        warn(f"Left out: {sentence}")
    if len(found.unreadable) > SHOWN_UNREADABLE:
        warn(f"And {len(found.unreadable) - SHOWN_UNREADABLE} more: --json names them all.")
    if report:
        _write_report(report, target, eval_set, found, notes)
    if as_json:
        from zoo.cli.tables import print_json

        print_json(_record(model, eval_set, found, notes))
    else:
        _print(target, eval_set, found, report)


def _choose(
    target: EvalTarget, place: PicturePlace, split: SplitName | None, *, own: bool, model: Path, named: bool
) -> EvalSet:
    from zoo.evaluation.pictures import choose

    try:
        return choose(place, target.classes, split, own=own)
    except (UsageError, DataError) as error:
        if named or split:
            raise
        kind = UsageError if isinstance(error, UsageError) else DataError
        raise kind(
            f"The pictures that this model was trained on were not found: {error.cause}",
            f"Restore them, or name others: zoo evaluate {model} DATASET",
        ) from None


def _run(target: EvalTarget, eval_set: EvalSet, device: str) -> Evaluation:
    from zoo.evaluation.pictures import evaluate as evaluate_on
    from zoo.progress import Reporter

    stream = target.load(device)
    with Reporter().bar(f"Evaluating {eval_set.split_name} pictures", len(eval_set.split)) as advance:
        return evaluate_on(stream, eval_set, target.classes, advance)


def _differences(target: EvalTarget, eval_set: EvalSet, found: Evaluation) -> list[str]:
    """A sentence if the figures differ from those recorded with the model."""
    figures, split = target.recorded
    before, now = figures.get("num_pictures"), found.figures["num_pictures"]
    if split != eval_set.split_name or before in (None, now):
        return []
    return [f"The recorded figures are of {before} pictures, these are of {now}: the dataset has changed."]


def _write_report(path: Path, target: EvalTarget, eval_set: EvalSet, found: Evaluation, notes: list[str]) -> None:
    from zoo.report.page import write_report
    from zoo.report.sections import chosen_section, sections_of

    sections = {**chosen_section(eval_set), **sections_of(target.source)}
    with writing(path, "--report"):
        write_report(path, found, title=target.title, sections=sections, notes=notes)


def _record(model: Path, eval_set: EvalSet, found: Evaluation, notes: list[str]) -> dict[str, Any]:
    classes, by_class, bins = found.classes, found.by_class, found.calibration
    counts = found.counts
    return {
        "model": str(model),
        "dataset": {"name": eval_set.dataset, "source": eval_set.source},
        "split": eval_set.split_name,
        "notes": notes,
        "metrics": found.figures,
        "unreadable": list(found.unreadable),
        "classes": [
            {
                "name": name,
                "precision": float(by_class.precision[label]),
                "recall": float(by_class.recall[label]),
                "f1": float(by_class.f1[label]),
                "pictures": int(by_class.support[label]),
            }
            for label, name in enumerate(classes)
        ],
        "confusion": [
            {"true": classes[true], "predicted": classes[guess], "pictures": int(counts[true, guess])}
            for true, guess in zip(*counts.nonzero(), strict=True)
        ],
        "calibration": [
            {"pictures": int(count), "confidence": float(sure), "accuracy": float(right)}
            for count, sure, right in zip(bins.counts, bins.confidence, bins.accuracy, strict=True)
        ],
        "mistakes": [
            {
                "picture": found.split.pictures.name(index),
                "true": classes[true],
                "predicted": classes[guess],
                "confidence": sure,
            }
            for index, true, guess, sure in found.mistakes()
        ],
    }


def _print(target: EvalTarget, eval_set: EvalSet, found: Evaluation, report: Path | None) -> None:
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_facts, print_table

    figures, by_class, order = found.figures, found.by_class, found.worst_first
    facts = [
        ("model", target.title),
        ("pictures", f"{eval_set.dataset}, {eval_set.split_name}: {figures['num_pictures']:,}"),
        ("unreadable", f"{len(found.unreadable):,}" if found.unreadable else ""),
        ("accuracy", f"{figures['top1']:.2%}"),
        ("top-5 accuracy", f"{figures['top5']:.2%}" if "top5" in figures else ""),
        ("macro F1", f"{figures['macro_f1']:.2%}"),
        ("macro recall", f"{figures['macro_recall']:.2%}"),
        ("loss", f"{figures['loss']:.4f}"),
        ("calibration error", f"{figures['ece']:.2%}"),
        ("report", str(report) if report else ""),
    ]
    print_facts(facts)
    stdout().print()
    columns = (by_class.precision, by_class.recall, by_class.f1)
    print_table(
        ("class", "precision", "recall", "F1", "pictures"),
        [
            (found.classes[label], *(f"{values[label]:.1%}" for values in columns), f"{by_class.support[label]:,}")
            for label in order[:SHOWN_CLASSES]
        ],
    )
    more = len(order) - SHOWN_CLASSES
    if more > 0:
        stdout().print(f"and {more} more classes with a higher F1: --json and --report show them all", markup=False)
