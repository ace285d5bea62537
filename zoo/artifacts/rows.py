"""Predictions as rows: `zoo predict` prints them, `zoo serve` answers with them, the demo offers them to download."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from zoo.files import json_text

if TYPE_CHECKING:
    from zoo.artifacts.predictor import Prediction


def json_row(file: str, prediction: Prediction) -> dict[str, Any]:
    """One picture's answer, for JSON: its file, the most probable class, and the classes that come next."""
    return {
        "file": file,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": share} for label, share in prediction.top],
    }


class JsonRows:
    """A JSON list that is written row by row; the pieces of text together are the list.

    Args:
        ascii_only: whether other characters are escaped.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        self._ascii_only = ascii_only
        self._between = "["

    def row(self, file: str, prediction: Prediction) -> str:
        """The next row, with what separates it from the one before."""
        between, self._between = self._between, ","
        return f"{between}\n  {json_text(json_row(file, prediction), ascii_only=self._ascii_only)}"

    def end(self) -> str:
        """The end of the list."""
        return "[]\n" if self._between == "[" else "\n]\n"


class CsvRows:
    """CSV, one row a file; `label_2`, `probability_2`, … hold the classes that come next.

    Args:
        top_k: how many classes each prediction lists.
    """

    def __init__(self, top_k: int) -> None:
        ranks = ["", *(f"_{rank}" for rank in range(2, top_k + 1))]
        self.head = _line(["file", *(f"{name}{rank}" for rank in ranks for name in ("label", "probability"))])

    def row(self, file: str, prediction: Prediction) -> str:
        """One line."""
        return _line([file, *(value for pair in prediction.top for value in pair)])


def _line(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
