"""Writes the files of a check: a contact sheet and a table of the duplicates."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.audit.duplicates import Double
from zoo.audit.findings import Report, double_row
from zoo.audit.scan import Scan
from zoo.errors import UnreadablePictureError, UsageError, reason_of
from zoo.files import write_atomically
from zoo.report.contact_sheet import SIDE, contact_sheet, mounted

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = 8
MAX_CLASS_PICTURES = 240
MAX_PAIRS = 60
SHEET, TABLE = "check.png", "duplicates.csv"
HEADER = ("path_a", "path_b", "kind", "distance", "split_a", "split_b", "label_a", "label_b")


def make_folder(folder: Path) -> None:
    """Creates the folder for the files. Raises `UsageError` if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", Path.touch)
        (folder / ".writable").unlink()
    except OSError as error:
        raise UsageError(
            f"Folder '{folder}' cannot be written to: {reason_of(error)}.",
            "Choose another one with --output.",
            code="folder-not-writable",
        ) from None


def write_report(report: Report, found: Scan, folder: Path) -> list[Path]:
    """Writes check.png and duplicates.csv, and replaces those of an earlier check; returns their paths."""
    rows = [double_row(double, found, report.classes) for double in report.doubles]

    def write_table(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, fieldnames=HEADER)
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(folder / TABLE, write_table)
    sheet = _sheet(report, found)
    if sheet is None:
        return [folder / TABLE]
    write_atomically(folder / SHEET, lambda path: sheet.save(path, "PNG"))
    return [folder / SHEET, folder / TABLE]


def _sheet(report: Report, found: Scan) -> Image.Image | None:
    """A few pictures of each class, then the pairs; None if no picture can be read."""
    from PIL import Image

    parts = [_show(found, *_class_pictures(report, found)), _show(found, *_pairs(report, found))]
    sheets = [part for part in parts if part is not None]
    if not sheets:
        return None
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), "white")
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def _class_pictures(report: Report, found: Scan) -> tuple[list[int], list[str]]:
    numbers = np.flatnonzero(found.readable)
    each = max(1, min(COLUMNS, MAX_CLASS_PICTURES // len(report.classes)))
    chosen: list[int] = []
    for label in range(min(len(report.classes), MAX_CLASS_PICTURES)):
        members = numbers[found.labels[numbers] == label]
        # Evenly spread, because neighbours in a folder are often from one series.
        places = np.unique(np.linspace(0, len(members) - 1, min(each, len(members))).round().astype(int))
        chosen += members[places].tolist()
    return chosen, [f"{report.classes[found.labels[i]]}\n{_short(found, i)}" for i in chosen]


def _pairs(report: Report, found: Scan) -> tuple[list[int], list[str]]:
    chosen: list[int] = []
    captions: list[str] = []
    for number, pair in enumerate(_worst(report, found)[:MAX_PAIRS], start=1):
        words = "same pixels" if pair.kind == "exact" else f"near, {pair.distance} bits"
        for picture in (pair.a, pair.b):
            chosen.append(picture)
            label = report.classes[found.labels[picture]]
            captions.append(f"{number}. {words}\n{found.split_of(picture)}: {label}\n{_short(found, picture)}")
    return chosen, captions


def _worst(report: Report, found: Scan) -> Sequence[Double]:
    """Different labels first, then different splits."""

    def rank(pair: Double) -> tuple[bool, bool, int]:
        same_label = bool(found.labels[pair.a] == found.labels[pair.b])
        return same_label, found.split_of(pair.a) == found.split_of(pair.b), pair.distance

    return sorted(report.doubles, key=rank)


def _short(found: Scan, number: int) -> str:
    return Path(found.name(number)).name


def _show(found: Scan, numbers: Sequence[int], captions: Sequence[str]) -> Image.Image | None:
    pictures, texts = [], []
    for number, caption in zip(numbers, captions, strict=True):
        try:
            # Hundreds of photos do not fit into memory, but their small copies do.
            pictures.append(mounted(found.read(number), SIDE))
            texts.append(caption)
        except (UnreadablePictureError, MemoryError):  # removed since it was scanned
            continue
    return contact_sheet(pictures, texts, columns=COLUMNS, side=SIDE) if pictures else None
