"""`zoo check`: what is in a dataset, what is in it twice, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.recipes.place import PicturePlace
from zoo.recipes.recipe import Recipe
from zoo.recipes.values import PIXEL_RANGE

if TYPE_CHECKING:
    from zoo.audit import Report
    from zoo.audit.problems import Problem

SHOWN_EXAMPLES = 20
SHOWN_CLASSES = 20


def check(
    dataset: Annotated[str, typer.Argument(help="Name of a dataset, a folder, or a list file.")],
    *,
    val: Annotated[str | None, typer.Option(help="Folder or list file of validation pictures.")] = None,
    test: Annotated[str | None, typer.Option(help="Folder or list file of test pictures.")] = None,
    encoding: Annotated[str, typer.Option(help="Text encoding of list files.")] = "utf-8",
    data_root: Annotated[str | None, typer.Option(help="Folder that holds the named datasets.")] = None,
    pixel_range: Annotated[str | None, typer.Option(help="As for `zoo train`: for example 0,4095.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for check.png (a contact sheet) and duplicates.csv.")
    ] = None,
    max_unreadable: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of unreadable pictures that a training accepts.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training: it cuts the validation split.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: everything, in full.")] = False,
) -> None:
    """Look for what is wrong with a dataset before training on it.

    Every picture is decoded once. Nothing is changed. The exit code is 1 if there is an error: `zoo train` would
    refuse the pictures, or labels or figures would be wrong. With --strict it is 1 for warnings too.

    Examples:

        zoo check ./photos

        zoo check ./photos --output check
    """
    from zoo.audit import make_folder, write_report
    from zoo.audit.check import check as check_dataset
    from zoo.data.prepare import find_dataset

    values = None if pixel_range is None else PIXEL_RANGE.parse("pixel_range", pixel_range)
    if output:
        find_dataset(PicturePlace(dataset=dataset, val=val, test=test, encoding=encoding, data_root=data_root))
        make_folder(output)
    report = check_dataset(
        dataset,
        val=val,
        test=test,
        encoding=encoding,
        data_root=data_root,
        pixel_range=values,
        max_unreadable=Recipe.defaults()["max_unreadable"] if max_unreadable is None else max_unreadable,
        seed=seed,
        progress=True,
    )
    files = write_report(report, report.scan, output) if output else []
    if as_json:
        from zoo.audit import as_json as plain
        from zoo.cli.tables import print_json

        facts = {"dataset": report.name, "source": report.source, "notes": list(report.notes)}
        print_json({**facts, **plain(report, report.scan), "files": [str(file) for file in files]})
    else:
        _print(f"{report.name}: {report.source}".removesuffix(": "), report)
        _print_end(report, files)
    raise typer.Exit(1 if report.errors or (strict and report.problems) else 0)


def _print(title: str, report: Report) -> None:
    from zoo.audit.near_duplicates import MIN_SIDE
    from zoo.cli.console import warn
    from zoo.cli.tables import print_table
    from zoo.progress import printable

    doubts = {problem.message for problem in report.problems}
    for note in report.notes:
        if note not in doubts:
            warn(note)
    typer.echo(f"{printable(title)}\n")
    headers = (
        "split",
        "pictures",
        "unreadable",
        "smallest",
        "median",
        "largest",
        "width : height",
        "crop shows",
        "grey",
    )
    print_table(headers, [_split_row(name, facts) for name, facts in report.splits.items()])
    typer.echo()
    print_table(("class", *report.splits), _class_rows(report))
    total = sum(facts["pictures"] - facts["unreadable"] for facts in report.splits.values())
    compared = len(report.scan.thumbs)
    if compared < total:
        typer.echo(
            f"\nCompared by pixels: all pictures. Compared by looks: {compared:,} of {total:,}, those of {MIN_SIDE} "
            "pixels and more a side, with some contrast."
        )


def _split_row(name: str, facts: dict[str, Any]) -> list[str]:
    sizes = [
        f"{facts[key]['width']} x {facts[key]['height']}" if key in facts else "-"
        for key in ("smallest", "median", "largest")
    ]
    ratios = facts.get("width_to_height")
    span = f"{ratios['least']:.2f} to {ratios['most']:.2f}" if ratios else "-"
    seen = f"{facts['seen']:.0%}" if "seen" in facts else "-"
    return [name, f"{facts['pictures']:,}", f"{facts['unreadable']:,}", *sizes, span, seen, f"{facts['grey']:,}"]


def _class_rows(report: Report) -> list[list[str]]:
    """Readable pictures of each class; of many classes, the smallest and the largest."""
    counts = {split: facts["classes"] for split, facts in report.splits.items()}
    names = list(report.classes)
    if len(names) > SHOWN_CLASSES:
        names.sort(key=lambda name: counts["train"][name])
        half = SHOWN_CLASSES // 2
        names = [*names[:half], "", *names[-half:]]
    others = len(report.classes) - SHOWN_CLASSES
    return [
        [name, *(f"{counts[split][name]:,}" for split in counts)]
        if name
        else [f"… {others} more", *("" for _ in counts)]
        for name in names
    ]


def _print_end(report: Report, files: Sequence[Path]) -> None:
    from zoo.progress import printable

    typer.echo()
    for problem in report.problems:
        for line in _lines(problem):
            typer.echo(printable(line))
    if files:
        typer.echo(f"Written: {', '.join(str(file) for file in files)}")
    elif report.doubles:
        typer.echo("--output FOLDER shows the pairs in a contact sheet and lists them all.")
    if not report.problems:
        typer.echo("No problems found.")
        return
    verdict = f"Errors: {report.errors}, warnings: {len(report.problems) - report.errors}."
    typer.echo(verdict if report.usable else f"{verdict} `zoo train` refuses these pictures as they are.")


def _lines(problem: Problem) -> list[str]:
    lines = [f"{problem.severity}: {problem.message}", *([f"    {problem.remedy}"] if problem.remedy else [])]
    lines += [f"      {example}" for example in problem.examples[:SHOWN_EXAMPLES]]
    more = len(problem.examples) - SHOWN_EXAMPLES
    return [*lines, *([f"      and {more:,} more: --json names them all"] if more > 0 else []), ""]
