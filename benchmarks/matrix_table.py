"""The page of the export matrix, made from its records: `export_matrix.py` measured every number in it."""

from __future__ import annotations

from statistics import median
from typing import Any

FORMATS = ("onnx", "torchscript", "pt2")
LARGE = 150  # million parameters
INTRODUCTION = """# The export matrix

This page shows whether exported files agree with their classifier. It has every classification
architecture of torchvision in every format. `python benchmarks/export_matrix.py --photos FOLDER`
writes and runs the files.

- **The classifier** has random weights and 10 classes. Two steps of SGD on ten photos (four in the
  pass `--large`) keep logits and BatchNorm statistics from being degenerate. The network sees 96
  pixels if the architecture allows it.
- **The 32 pictures** are 30 photos of ants and bees, and two cuts of 1 x 1 and 2 x 960. The photos
  have different sizes, up to 160 pixels a side. Batches have 7, 2 or 1 pictures. The file takes
  uint8 and contains the preprocessing.
- **Parity** is the largest difference of a logit from that of the eager classifier, relative to the
  spread. The spread is the standard deviation of a logit from picture to picture. A parity of up to
  1e-4 passes.
- **Rounding** is the same difference, between the classifier in fp32 and in fp64.
- **Top-1** is the share of pictures that keep their class. Near ties do not count: their two best
  logits are closer than twice the tolerance.
- **Latency** is the median of at least five calls with one picture of the network's size, on one
  thread. Other jobs ran on the machine at the same time. Use these numbers only to tell small
  networks from large ones.
"""
Record = dict[str, Any]


def passed(found: Record) -> bool:
    """Whether a file agrees."""
    return "reason" not in found and found["parity"] <= found["tolerance"] and found["top1_agreement"] in (1.0, None)


def why(found: Record) -> str:
    """Why a format does not pass, in one sentence."""
    if "reason" in found:
        return str(found["reason"])
    kept = (
        "" if found["top1_agreement"] is None else f", {found['top1_agreement']:.1%} of the pictures keep their class"
    )
    return f"A logit differs by {found['parity']:.3g} of the spread{kept}."


def page(records: dict[str, Record], total: int) -> str:
    """docs/export-matrix.md.

    Args:
        records: by architecture, as `export_matrix.run_one` describes them, and the `machine` of each.
        total: how many architectures there are.
    """
    machines = {", ".join(f"{key} {value}" for key, value in record["machine"].items()) for record in records.values()}
    parts = [INTRODUCTION, *summary(records, total), "", *failures(records), *table(records), "", *sorted(machines)]
    return "\n".join(parts) + "\n"


def summary(records: dict[str, Record], total: int) -> list[str]:
    """One line per format."""
    large = sum(record.get("parameters", 0) > LARGE * 1e6 for record in records.values())
    lines = [
        f"{len(records)} of {total} architectures were measured.",
        f"{large} of them have more than {LARGE} million parameters and ran in the separate pass `--large`.",
        "",
        "| format | agree | worst parity | median parity | seconds to write, median |",
        "|---|---|---|---|---|",
    ]
    for name in FORMATS:
        rows = [record["formats"][name] for record in records.values() if "formats" in record]
        agree, written = sum(map(passed, rows)), [row for row in rows if "parity" in row]
        figures = [row["parity"] for row in written]
        cells = ["", "", ""]
        if written:
            seconds = median(row["export_seconds"] for row in written)
            cells = [f"{max(figures):.1e}", f"{median(figures):.1e}", f"{seconds:.0f}"]
        lines.append(f"| {name} | {agree} of {len(records)} | {' | '.join(cells)} |")
    return lines


def failures(records: dict[str, Record]) -> list[str]:
    """The files that do not agree or needed a second file, each with its reason."""
    failed, parted = [], []
    for name, record in records.items():
        if "reason" in record:
            failed.append(f"- `{name}`: {record['reason']}")
            continue
        for format_name, found in record["formats"].items():
            if not passed(found):
                failed.append(f"- `{name}`, {format_name}: {why(found)}")
            elif "one_file" in found:
                parted.append(f"- `{name}`, {format_name}: agrees with external data, because: {found['one_file']}")
    titled = (("## What fails", failed), ("## What needs a second file", parted))
    return [line for title, lines in titled if lines for line in (title, "", *lines, "")]


def table(records: dict[str, Record]) -> list[str]:
    """A line per architecture and format, the smallest first."""
    lines = [
        "## All measurements",
        "",
        "| architecture | million parameters | pixels | rounding "
        "| format | opset | parity | top-1 | MB | latency, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, record in sorted(records.items(), key=lambda item: item[1].get("parameters", 0)):
        if "reason" in record:
            lines.append(f"| {name} | | | | | | **fails** | | | |")
            continue
        start = f"| {name} | {record['parameters'] / 1e6:.1f} | {record['image_size']} | {record['rounding']:.0e} "
        lines += [f"{start}| {key} | {_cells(found)} |" for key, found in record["formats"].items()]
    return lines


def _cells(found: Record) -> str:
    if "reason" in found:
        return "| **fails** | | |"
    parity = f"{found['parity']:.1e}" if passed(found) else f"**fails**: {found['parity']:.1e}"
    top1 = "near ties only" if found["top1_agreement"] is None else f"{found['top1_agreement']:.0%}"
    return f"{found.get('opset', '')} | {parity} | {top1} | {found['bytes'] / 1e6:.1f} | {found['latency_ms']:.1f}"
