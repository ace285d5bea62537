"""How `zoo predict` prints what it found: a table for people, JSON or CSV as it comes for programs."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from zoo.cli.tables import json_line, print_table

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
        self._between = "["

    def add(self, file: Path, prediction: Prediction) -> None:
        from zoo.artifacts.rows import json_row

        typer.echo(f"{self._between}\n  {json_line(json_row(str(file), prediction))}", nl=False)
        self._between = ","

    def close(self) -> None:
        typer.echo("[]" if self._between == "[" else "\n]")


class CsvWriter(Writer):
    """One row a file; `label_2`, `probability_2`, … hold the classes that come next."""

    def __init__(self, top_k: int) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        ranks = ["", *(f"_{rank}" for rank in range(2, top_k + 1))]
        self._writer.writerow(["file", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability"))])

    def add(self, file: Path, prediction: Prediction) -> None:
        self._writer.writerow([str(file), *(value for pair in prediction.top for value in pair)])
