"""How `zoo predict` prints what it found: a table for people, JSON or CSV as it comes for programs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from zoo.artifacts.rows import CsvRows, JsonRows
from zoo.cli.console import prints_all_text
from zoo.cli.tables import print_table

if TYPE_CHECKING:
    from zoo.artifacts.predictor import Prediction


class Writer:
    """A context manager; `add` takes one file's prediction."""

    def __enter__(self) -> Writer:
        return self

    def add(self, file: Path, prediction: Prediction) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def close(self) -> None:
        """Prints what is left to print."""


class TableWriter(Writer):
    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []

    def add(self, file: Path, prediction: Prediction) -> None:
        others = ", ".join(f"{label} {share:.1%}" for label, share in prediction.top[1:])
        self._rows.append((str(file), prediction.label, f"{prediction.probability:.1%}", others))

    def close(self) -> None:
        if self._rows:
            print_table(("file", "class", "probability", "then"), self._rows)


class JsonWriter(Writer):
    def __init__(self) -> None:
        self._rows = JsonRows(ascii_only=not prints_all_text())

    def add(self, file: Path, prediction: Prediction) -> None:
        typer.echo(self._rows.row(str(file), prediction), nl=False)

    def close(self) -> None:
        typer.echo(self._rows.end(), nl=False)


class CsvWriter(Writer):
    def __init__(self, top_k: int) -> None:
        self._rows = CsvRows(top_k)
        sys.stdout.write(self._rows.head)

    def add(self, file: Path, prediction: Prediction) -> None:
        sys.stdout.write(self._rows.row(str(file), prediction))
