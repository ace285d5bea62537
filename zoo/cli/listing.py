"""`zoo list`: what there is to train on, with, into and from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.run_table import run_columns, runs
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.registry import Registered

SHOWN = 8


class Listing(StrEnum):
    """What can be listed."""

    BACKBONES = "backbones"
    DATASETS = "datasets"
    EXPORTERS = "exporters"
    LOGGERS = "loggers"
    PUBLISHERS = "publishers"
    RECIPES = "recipes"
    RUNS = "runs"


class Order(StrEnum):
    """How runs are sorted: the newest or the best first."""

    CREATED = "created"
    ACCURACY = "accuracy"


def list_(
    what: Annotated[Listing | None, typer.Argument(help="What to list; left out: all of it, in brief.")] = None,
    search: Annotated[str, typer.Option(metavar="GLOB", help="Names that match, such as 'resnet*'.")] = "",
    sort: Annotated[
        Order | None, typer.Option(help="Runs: the newest first, or the most accurate.", show_default="created")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List backbones, datasets, exporters, loggers, publishers, recipes or runs."""
    from zoo.cli.tables import print_json, warn_problems
    from zoo.registry import registry

    if sort and what is not Listing.RUNS:
        raise UsageError("Only runs can be sorted.", "Write: zoo list runs --sort accuracy")
    kinds = [what] if what else list(Listing)
    tables = {kind: _rows(kind, search, sort) for kind in kinds}
    warn_problems(registry().problems)
    if as_json:
        print_json({kind.value: [_as_record(row) for row in rows] for kind, rows in tables.items()})
    elif what:
        _print_kind(what, tables[what], search)
    else:
        _print_brief(tables)


def _rows(kind: Listing, search: str, sort: Order | None) -> Sequence[Registered[Any] | dict[str, Any]]:
    from zoo.registry import registry

    if kind is Listing.RUNS:
        return [run for run in runs(by_accuracy=sort is Order.ACCURACY) if _matches(str(run["name"]), search)]
    if kind is Listing.RECIPES:
        return [row for row in _recipes() if _matches(row["name"], search)]
    listings: dict[Listing, Callable[[], Sequence[Registered[Any]]]] = {
        Listing.BACKBONES: registry().backbones,
        Listing.DATASETS: registry().datasets,
        Listing.EXPORTERS: registry().exporters,
        Listing.LOGGERS: registry().loggers,
        Listing.PUBLISHERS: registry().publishers,
    }
    return [entry for entry in listings[kind]() if _matches(entry.name, search)]


def _recipes() -> list[dict[str, Any]]:
    from zoo.recipes.builtin import description, find, recipe_names
    from zoo.recipes.recipe import Recipe

    rows = []
    for name in recipe_names():
        options = Recipe.read(find(name))
        facts = {"backbone": options["backbone"], "dataset": options.get("dataset", "yours")}
        rows.append({"name": name, **facts, "description": description(name)})
    return rows


def _matches(name: str, search: str) -> bool:
    return not search or fnmatchcase(name.lower(), search.lower())


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
    if kind is Listing.RUNS:
        print_table(*run_columns([_as_record(row) for row in rows]))
        return
    headers, cells = COLUMNS[kind]
    print_table(headers, [[str(value) for value in cells(row)] for row in _in_brief(kind, rows, search)])


def _in_brief(kind: Listing, rows: Sequence[Registered[Any] | dict[str, Any]], search: str) -> list[dict[str, Any]]:
    """The rows of a table. Many names of one provider are one row, unless they were searched for.

    The spec of a provider's name would have to be made for more than its name: that takes seconds for thousands.
    """
    groups = Counter(_group(row) for row in rows)
    table, shown = [], set()
    for row in rows:
        group = _group(row)
        record = _as_record(row)
        if group and groups[group] > SHOWN and not search:
            if group in shown:
                continue
            shown.add(group)
            search_it = f"zoo list {kind} --search '{group}*'"
            record |= {"name": f"{group}…", "description": f"{groups[group]:,} names; search them: {search_it}"}
        elif group:
            record["description"] = f"more: zoo info {record['name']}"
        table.append(record)
    return table


def _group(row: Registered[Any] | dict[str, Any]) -> str:
    """The prefix of a provider's name, empty for any other name."""
    return "" if isinstance(row, dict) or not row.provided else f"{row.name.partition('/')[0]}/"


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


def _publisher(row: dict[str, Any]) -> tuple[object, ...]:
    return row["name"], row["format"], _source(row), row["description"]


def _recipe(row: dict[str, Any]) -> tuple[object, ...]:
    return row["name"], row["backbone"], row["dataset"], row["description"]


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
    Listing.PUBLISHERS: (("publisher", "takes", "from", "description"), _publisher),
    Listing.RECIPES: (("recipe", "backbone", "dataset", "description"), _recipe),
}
