"""List files: `path label` lines, or CSV and TSV with a header."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from zoo.data.listing import Listing, quoted, some
from zoo.errors import DataError, UsageError

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class", "target", "category")
TABLE_SUFFIXES = (".csv", ".tsv")
# The label is quoted or has no spaces. Everything before it is the path.
_LINE = re.compile(r"""(?P<path>.+?)\s+(?P<label>"[^"]*"|'[^']*'|\S+)""")

Line = tuple[int, str, str]


def read_list(file: Path, encoding: str = "utf-8") -> Listing:
    """The pictures in a list file. Their paths are relative to the folder of that file.

    A `.csv` or `.tsv` file has a header with one column of `PATH_COLUMNS` and one of `LABEL_COLUMNS`. In other files, a
    line is a path and, after the last whitespace, a label. Both may be quoted. Blank lines, and lines that begin with
    `#`, are ignored. Backslashes separate folders on every platform.

    Raises:
        DataError: the file is empty or not in `encoding`, a line is malformed, a column is unknown, or pictures are
            missing.
        UsageError: the encoding is unknown.
    """
    text = _decode(file, encoding)
    try:
        rows = list(_table(file, text) if file.suffix.lower() in TABLE_SUFFIXES else _lines(file, text))
    except csv.Error as error:
        raise DataError(
            f"List file '{file}' is not a valid table: {error}.",
            "Correct or remove that line.",
            code="list-not-a-table",
        ) from None
    if not rows:
        raise DataError(
            f"List file '{file}' lists no pictures.", "Write a line `path label` for each picture.", code="empty-list"
        )
    located = [(number, path, _locate(file.parent, path, encoding)) for number, path, _ in rows]
    missing = [f"'{path}' (line {number})" for number, path, found in located if found is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(rows)} pictures in list file '{file}' are missing: {some(missing)}.",
            f"Correct these paths, which are relative to '{file.parent}', or remove their lines.",
            code="list-with-missing-pictures",
        )
    return Listing(file, [found for _, _, found in located if found], [label for _, _, label in rows])


def _decode(file: Path, encoding: str) -> str:
    data = file.read_bytes()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"List file '{file}' is not {encoding} text: byte {error.start} in line {line} cannot be decoded.",
            "Give its encoding with --encoding, for example: --encoding cp1252",
            code="list-encoding",
        ) from None
    except LookupError:
        raise UsageError(
            f"Python has no encoding named '{encoding}'.",
            "Try --encoding cp1252 or --encoding utf-16",
            code="unknown-encoding",
        ) from None
    return text.removeprefix("\ufeff")


def _lines(file: Path, text: str) -> Iterator[Line]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise DataError(
                f"Line {number} of '{file}' has no label: {stripped!r}.",
                "Write `path label` on each line, or give the file the suffix .csv and a header.",
                code="line-without-label",
            )
        yield number, _unquoted(match["path"]), _unquoted(match["label"])


def _table(file: Path, text: str) -> Iterator[Line]:
    header = text.split("\n", 1)[0]
    delimiter = max("\t,;", key=header.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip() for name in next(rows, [])]
    path, label = _columns(file, columns)
    for row in rows:
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(columns) or not row[path].strip() or not row[label].strip():
            raise DataError(
                f"Line {rows.line_num} of '{file}' does not have one value per column ({some(quoted(columns))}).",
                "Correct or remove this line.",
                code="line-without-all-columns",
            )
        yield rows.line_num, row[path].strip(), row[label].strip()


def _columns(file: Path, columns: list[str]) -> tuple[int, int]:
    lowered = [name.lower() for name in columns]
    paths = [i for i, name in enumerate(lowered) if name in PATH_COLUMNS]
    labels = [i for i, name in enumerate(lowered) if name in LABEL_COLUMNS]
    # An unknown column, such as `split`, may change the meaning of the others.
    if len(paths) != 1 or len(labels) != 1 or len(columns) != 2:  # noqa: PLR2004
        raise DataError(
            f"List file '{file}' needs one column of paths and one of labels, not {some(quoted(columns), most=10)}.",
            f"Name one column {_either(PATH_COLUMNS)} and one {_either(LABEL_COLUMNS)}. Remove all others.",
            code="list-columns",
        )
    return paths[0], labels[0]


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _locate(folder: Path, name: str, encoding: str) -> Path | None:
    candidates = [folder / name, folder / name.replace("\\", os.sep)]
    with suppress(UnicodeEncodeError):  # names of files may be the same bytes as in the list
        candidates.append(folder / os.fsdecode(name.encode(encoding)))
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError:  # a name too long for the file system
        return None
