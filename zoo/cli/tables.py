"""What the commands that report print: tables, facts, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

import typer

from zoo.cli.console import stdout, warn
from zoo.progress import printable
from zoo.specs import WeightsSpec

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.registry import Problem, Registered
    from zoo.specs import Spec

PIPE_WIDTH = 10_000


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns; a pipe gets each row on one line, however long."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut short cannot be typed
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """A name and a value a line; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts:
        if value:
            table.add_row(Text(printable(name), style="bold"), Text(printable(value)))
    _console().print(table)


def _console() -> Console:
    from rich.console import Console

    return stdout() if stdout().is_terminal else Console(highlight=False, width=PIPE_WIDTH)


def print_json(value: object) -> None:
    typer.echo(json_line(value, indent=2))


def json_line(value: object, indent: int | None = None) -> str:
    """JSON that stdout can print, whatever its encoding."""
    from zoo.cli.console import prints_all_text
    from zoo.files import json_text

    return json_text(value, indent=indent, ascii_only=not prints_all_text())


def record(entry: Registered[Spec], *, ask_provider: bool = False) -> dict[str, object]:
    """A registered name as JSON: who registered it, and its spec without the factories.

    The spec of a provider's name is left out unless `ask_provider`: a listing may hold thousands.
    """
    source: dict[str, object] = {
        "kind": entry.kind,
        "name": entry.name,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "version": entry.version,
    }
    return source if entry.provided and not ask_provider else {**_values(entry.spec), **source}


def _values(spec: Spec | WeightsSpec) -> dict[str, object]:
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return {
        name: _values(value) if isinstance(value, WeightsSpec) else value
        for name, value in values.items()
        if not callable(value)
    }


def warn_problems(problems: Iterable[Problem]) -> None:
    """One line to stderr for each problem, once in a process."""
    for problem in problems:
        _warn_once(str(problem))


@cache
def _warn_once(message: str) -> None:
    warn(message)
