"""Exports every classification architecture of torchvision in every format: does the file agree with the classifier?

    python benchmarks/export_matrix.py --photos FOLDER

FOLDER holds photos (`.jpg`, at any depth). The first 30 by name are used. Each architecture runs in its own process
(`matrix_one.py` says what it does), the smallest first. Finished ones are saved in export_matrix.json at once. So you
can stop the matrix at any time, and the same command continues it. Architectures of more than 150 million parameters
run only with `--large`: they take several gigabytes each. If one fails, it is named with its reason. The others run.

Claimed: in fp32, no logit differs by more than 1e-4 of the spread, and all pictures keep their class, except near ties.

The script updates docs/export-matrix.md while it runs. With `--render` it does only that.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from forked import write
from matrix_table import FORMATS, LARGE, page, passed
from measure import HERE, ProcessError, machine, measured


def architectures() -> dict[str, float]:
    """Name and millions of parameters, the smallest first."""
    from zoo_torchvision.catalogue import CATALOGUE

    rows = {name: row.millions for family in CATALOGUE.values() for name, row in family.items()}
    return dict(sorted(rows.items(), key=lambda item: item[1]))


def chosen(known: dict[str, float], options: argparse.Namespace) -> list[str]:
    """The architectures that the options name. A name without a wildcard may be any installed backbone."""
    others = [name for name in options.only or () if not set(name) & set("*?[") and name not in known]
    names = [
        name
        for name, millions in known.items()
        if (options.large or millions <= LARGE)
        and (not options.only or any(fnmatch(name, pattern) for pattern in options.only))
    ]
    return others + names


def run_one(name: str, photos: Path) -> dict[str, Any]:
    """The record of an architecture.

    Returns:
        `parameters`, `image_size`, `spread` of the logits, `rounding` relative to it, `norm_start`, `training_seconds`,
        `seconds`, `peak_mib`, `formats`: by name, measurements or a `reason`. Only a `reason` if there are no logits.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lines"
        command = [sys.executable, HERE / "matrix_one.py", name, "--photos", photos.absolute(), "--output", output]
        ended, process = "", {}
        try:
            found = measured(command, Path(folder), Path(folder))
            process = {"seconds": round(found["seconds"], 1), "peak_mib": round(found["peak_mib"])}
        except ProcessError as error:
            ended = reason(str(error))
        lines = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    if not lines:
        return {"reason": ended}
    formats = {line.pop("format"): line for line in lines[1:]}
    return {**lines[0], **process, "formats": {name: formats.get(name, {"reason": ended}) for name in FORMATS}}


def reason(message: str) -> str:
    """Why a process ended, from the message of a `ProcessError`."""
    code = re.search(r"ended with (-?\d+):", message)
    if code and int(code[1]) < 0:
        return f"Its process was ended by signal {-int(code[1])}; 9 is what the system sends where memory runs out."
    return message.strip().splitlines()[-1]


def verdict(record: dict[str, Any]) -> str:
    if "reason" in record:
        return str(record["reason"])
    return ", ".join(f"{name} {'agrees' if passed(found) else 'FAILS'}" for name, found in record["formats"].items())


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--photos", type=Path, help="Folder of at least 30 .jpg files.")
    made.add_argument("--only", nargs="+", metavar="GLOB", help="Architectures, or names of other backbones.")
    made.add_argument("--again", action="store_true", help="Measure again what has a record.")
    made.add_argument("--large", action="store_true", help=f"Also run those of more than {LARGE} million parameters.")
    made.add_argument("--limit-seconds", type=float, default=float("inf"), help="Start nothing after this time.")
    made.add_argument("--render", action="store_true", help="Only write the page, from the records.")
    made.add_argument("--results", type=Path, default=HERE / "export_matrix.json")
    made.add_argument("--page", type=Path, default=HERE.parent / "docs" / "export-matrix.md")
    options = made.parse_args()
    records = json.loads(options.results.read_text()) if options.results.exists() else {}
    known = architectures()
    if not options.render:
        if options.photos is None or not options.photos.is_dir():
            made.error("--photos needs an existing folder of .jpg files, for example --photos photos/")
        ends = time.monotonic() + options.limit_seconds
        for name in chosen(known, options):
            if (name in records and not options.again) or time.monotonic() > ends:
                continue
            record = {**run_one(name, options.photos), "machine": machine("onnx", "onnxruntime", "onnxscript")}
            records[name] = record
            write(options.results, records)
            write(options.page, page(records, len(known)))
            print(f"{name}: {verdict(record)}", flush=True)
    write(options.page, page(records, len(known)))


if __name__ == "__main__":
    main()
