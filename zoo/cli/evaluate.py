"""`zoo evaluate`: the figures of a run or an exported file, on its own pictures or on others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output_file import check_target, require_train_extra, writing
from zoo.cli.signals import ending

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation
    from zoo.evaluation.looking import Look

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
    from zoo.evaluation.evaluate import evaluated

    if report:
        require_train_extra("Writing a report", "matplotlib", "jinja2")
        check_target(report, "--report", "A report is an HTML page", ".html", ".htm")
    found, look = evaluated(
        model,
        dataset,
        split=None if split is None else split.value,
        encoding=encoding,
        data_root=data_root,
        device=device.value,
        progress=True,
    )
    for note in found.notes:
        warn(note)
    for sentence in found.unreadable[:SHOWN_UNREADABLE]:
        warn(f"Left out: {sentence}")
    if len(found.unreadable) > SHOWN_UNREADABLE:
        warn(f"And {len(found.unreadable) - SHOWN_UNREADABLE} more: --json names them all.")
    if report:
        _write_report(report, found, look)
    if as_json:
        from zoo.cli.tables import print_json

        print_json(_record(model, found))
    else:
        _print(found, report)


def _write_report(path: Path, found: Evaluation, look: Look) -> None:
    from zoo.report.page import write_report
    from zoo.report.sections import chosen_section, sections_of

    sections = {**chosen_section(found), **sections_of(found.model)}
    with writing(path, "--report"):
        write_report(path, found, title=found.title, sections=sections, notes=found.notes, look=look)


def _record(model: Path, found: Evaluation) -> dict[str, Any]:
    classes, by_class, bins = found.classes, found.by_class, found.calibration
    counts = found.counts
    return {
        "model": str(model),
        "dataset": {"name": found.dataset, "source": found.source},
        "split": found.split_name,
        "notes": list(found.notes),
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


def _print(found: Evaluation, report: Path | None) -> None:
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_facts, print_table

    figures, by_class, order = found.figures, found.by_class, found.worst_first
    facts = [
        ("model", found.title),
        ("pictures", f"{found.dataset}, {found.split_name}: {figures['num_pictures']:,}"),
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
