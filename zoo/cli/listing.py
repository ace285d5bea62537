"""`zoo list`: what there is to train on, with, into and from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from zoo.registry import Registered

SHOWN = 8


class Listing(StrEnum):
    """What can be listed."""

    BACKBONES = "backbones"
    DATASETS = "datasets"
    EXPORTERS = "exporters"
    LOGGERS = "loggers"
    RUNS = "runs"


def list_(
    what: Annotated[Listing | None, typer.Argument(help="What to list; left out: all of it, in brief.")] = None,
    search: Annotated[str, typer.Option(metavar="GLOB", help="Names that match, such as 'resnet*'.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List backbones, datasets, exporters, loggers or runs."""
    from zoo.cli.tables import print_json, warn_problems
    from zoo.registry import registry

    kinds = [what] if what else list(Listing)
    tables = {kind: _rows(kind, search) for kind in kinds}
    warn_problems(registry().problems)
    if as_json:
        print_json({kind.value: [_as_record(row) for row in rows] for kind, rows in tables.items()})
    elif what:
        _print_kind(what, tables[what], search)
    else:
        _print_brief(tables)


def _rows(kind: Listing, search: str) -> Sequence[Registered[Any] | dict[str, Any]]:
    from zoo.registry import registry

    if kind is Listing.RUNS:
        return [run for run in _runs() if _matches(str(run["name"]), search)]
    listings: dict[Listing, Callable[[], Sequence[Registered[Any]]]] = {
        Listing.BACKBONES: registry().backbones,
        Listing.DATASETS: registry().datasets,
        Listing.EXPORTERS: registry().exporters,
        Listing.LOGGERS: registry().loggers,
    }
    return [entry for entry in listings[kind]() if _matches(entry.name, search)]


def _matches(name: str, search: str) -> bool:
    return not search or fnmatchcase(name.lower(), search.lower())


def _runs() -> list[dict[str, Any]]:
    """The runs under ./runs, newest first; a folder whose run.json is damaged is named as such."""
    from zoo.runs import RUNS

    runs = [_run(file) for file in RUNS.glob("*/run.json")]
    return sorted(runs, key=lambda run: str(run.get("created", "")), reverse=True)


def _run(file: Path) -> dict[str, Any]:
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
        metrics = info.get("metrics") or {}
        return {
            "name": file.parent.name,
            "path": str(file.parent),
            "backbone": info["backbone"],
            "dataset": info["dataset"]["name"],
            "status": info["status"],
            "created": info["created"],
            "metrics_split": info.get("metrics_split"),
            "top1": metrics.get("top1"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {
            "name": file.parent.name,
            "path": str(file.parent),
            "status": "damaged: run.json cannot be read",
        }


def _as_record(row: Registered[Any] | dict[str, Any]) -> dict[str, Any]:
    from zoo.cli.tables import record

    return row if isinstance(row, dict) else record(row)


def _print_kind(kind: Listing, rows: Sequence[Registered[Any] | dict[str, Any]], search: str) -> None:
    from zoo.cli.console import stderr
    from zoo.cli.tables import print_table

    if not rows:
        matching = f" that match '{search}'" if search else ""
        stderr().print(f"There are no {kind}{matching}.", markup=False)
        return
    headers, cells = COLUMNS[kind]
    print_table(headers, [[str(value) for value in cells(_as_record(row))] for row in rows])


def _print_brief(tables: dict[Listing, Sequence[Registered[Any] | dict[str, Any]]]) -> None:
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_facts

    facts = []
    for kind, rows in tables.items():
        names = [row["name"] if isinstance(row, dict) else row.name for row in rows]
        more = ", …" if len(names) > SHOWN else ""
        facts.append((f"{kind} ({len(names)})", ", ".join(names[:SHOWN]) + more or "none"))
    print_facts(facts)
    stdout().print("\nMore about one kind: zoo list backbones [--search 'resnet*']", markup=False)


def _backbone(row: dict[str, Any]) -> tuple[object, ...]:
    weights = row.get("weights") or {}
    return (
        row["name"],
        weights.get("name", "-"),
        row.get("min_image_size", "-"),
        _source(row),
        row.get("description", ""),
    )


def _dataset(row: dict[str, Any]) -> tuple[object, ...]:
    size = row.get("native_size")
    return (
        row["name"],
        row.get("num_classes") or "-",
        f"{size} x {size}" if size else "photos",
        _source(row),
        row.get("description", ""),
    )


def _exporter(row: dict[str, Any]) -> tuple[object, ...]:
    return row["name"], row["suffix"], _source(row), row["description"]


def _logger(row: dict[str, Any]) -> tuple[object, ...]:
    return row["name"], _source(row), row["description"]


def _run_cells(row: dict[str, Any]) -> tuple[object, ...]:
    accuracy = "-" if row.get("top1") is None else f"{row['metrics_split']} {row['top1']:.2%}"
    return row["name"], row.get("backbone", "-"), row.get("dataset", "-"), accuracy, row["status"]


def _source(row: dict[str, Any]) -> str:
    return f"{row['distribution']} {row['version']}"


COLUMNS = {
    Listing.BACKBONES: (
        ("backbone", "pretrained weights", "smallest size", "from", "description"),
        _backbone,
    ),
    Listing.DATASETS: (("dataset", "classes", "pictures", "from", "description"), _dataset),
    Listing.EXPORTERS: (("exporter", "suffix", "from", "description"), _exporter),
    Listing.LOGGERS: (("logger", "from", "description"), _logger),
    Listing.RUNS: (("run", "backbone", "dataset", "accuracy", "status"), _run_cells),
}
