"""Predictions as rows: the same bytes from `zoo predict` and from the demo, whatever the names."""

from __future__ import annotations

import csv
import json
from io import StringIO

from zoo.artifacts.predictor import Prediction
from zoo.artifacts.rows import CsvRows, JsonRows

NAME = 'a,"b"\n\N{LATIN SMALL LETTER E WITH ACUTE}\udcff.png'
FOUND = Prediction("x", 0.1 + 0.2, (("x", 0.1 + 0.2), ("y", 1e-20)))


def test_csv_is_exact():
    rows = CsvRows(2)
    assert rows.head == "file,label,probability,label_2,probability_2\n"
    assert rows.row("a.png", FOUND) == "a.png,x,0.30000000000000004,y,1e-20\n"
    (read,) = csv.reader(StringIO(rows.row(NAME, FOUND)))
    assert read[0] == NAME


def test_json_is_a_list_of_a_row_a_line():
    rows = JsonRows()
    text = rows.row("a.png", FOUND) + rows.row(NAME, FOUND) + rows.end()
    assert text.count("\n  {") == 2
    assert (text[0], text[-3:]) == ("[", "\n]\n")
    assert [row["file"] for row in json.loads(text)] == ["a.png", NAME]
    assert "\N{LATIN SMALL LETTER E WITH ACUTE}" in text
    assert JsonRows().end() == "[]\n"
    assert JsonRows(ascii_only=True).row(NAME, FOUND).isascii()
