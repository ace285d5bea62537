"""The kit `zoo.testing` over one network of each family of timm: is it a backbone that exports?

    python benchmarks/timm_families.py --formats onnx
    python benchmarks/timm_families.py                  # the other formats too

A family is a module of timm. The smallest network of each is looked at, without pretrained weights, after the two
steps of training of `zoo.testing`, with a fixed seed. Each runs in its own process. Finished ones are saved in
timm_families.json at once. So you can stop the script at any time, and the same command continues it. Families whose
smallest network has more than 100 million parameters run only with `--large`.

Claimed: at least 95% of the families that are classifiers export to ONNX in fp32, and answer as in PyTorch.

The script updates the table of docs/timm.md while it runs. With `--render` it does only that. `--choose` looks for the
smallest network of each family anew, for another version of timm.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forked import answer_of, cell, warm_up, write

HERE = Path(__file__).resolve().parent
FORMATS = ("onnx", "torchscript", "pt2")
LARGE = 100  # million parameters
SECONDS = 1800  # of one network
LONGEST = 200  # characters of a cause
CLASSES = 5
INSTALLED = re.compile(r"\S*/site-packages/")


def smallest_of_each() -> dict[str, dict[str, Any]]:
    """By family, the network with the fewest parameters, in millions with 5 classes; or why none is a backbone."""
    import timm
    import torch

    from visionzoo_timm.configs import family_of, head_of, known, refusal

    found: dict[str, dict[str, Any]] = {}
    for name in timm.list_models():
        family, config = family_of(name), known().get(name)
        if config is None:
            continue
        if error := refusal(name, config):
            found.setdefault(family, {"refused": error.cause, "model": name})
            continue
        with torch.device("meta"):
            network = timm.create_model(name, num_classes=CLASSES, **head_of(name, config).options)
        millions = round(sum(each.numel() for each in network.parameters()) / 1e6, 2)
        if millions < found.get(family, {}).get("millions", float("inf")):
            found[family] = {"model": name, "millions": millions}
    return dict(sorted(found.items(), key=lambda item: item[1].get("millions", 0)))


def look_at(name: str, formats: list[str]) -> dict[str, Any]:
    """The results of the rules."""
    from visionzoo_timm.backbones import spec
    from zoo.testing.backbones import report_backbone

    backbone = spec(name)
    assert backbone is not None
    report = report_backbone(backbone, formats, weights=False)
    size = backbone.min_image_size if backbone.fixed_image_size else max(64, backbone.min_image_size)
    found = {
        each.rule: [each.state, INSTALLED.sub("", f"{each.cause} {each.remedy}".strip()), each.seconds]
        for each in report.results
    }
    return {"image_size": size, "fixed": backbone.fixed_image_size, "rules": found}


def outcome(record: dict[str, Any], name: str) -> tuple[str, str]:
    """Of a format, a word and the cause."""
    if "refused" in record:
        return "no backbone", record["refused"]
    if "ended" in record:
        return "failed", record["ended"]
    rules = record.get("rules", {})
    if wrong := [
        f"{rule}: {cause}" for rule, (state, cause, _) in rules.items() if state == "broken" and "exports" not in rule
    ]:
        return "failed", wrong[0]
    if f"exports-{name}" not in rules:
        return "-", ""
    state, cause, _ = rules[f"exports-{name}"]
    return {"kept": "passes", "broken": "failed", "skipped": "cannot"}[state], "" if state == "kept" else cause


def page(records: dict[str, dict[str, Any]], before: str) -> str:
    """The page, in Markdown, with a new table.

    Args:
        before: the page as it is. What stands before the heading of the table stays.
    """
    lines = []
    counts = {name: Counter(outcome(each, name)[0] for each in records.values()) for name in FORMATS}
    for family, record in sorted(records.items()):
        found = [outcome(record, name) for name in FORMATS]
        causes = dict.fromkeys(cause for _, cause in found if cause)
        size = f"{record['image_size']}{' (fixed)' if record['fixed'] else ''}" if "image_size" in record else "-"
        words = " | ".join(word for word, _ in found)
        cause = cell(" ".join(causes))[:LONGEST]
        lines.append(f"| {family} | `{record['model']}` | {record.get('millions', '-')} | {size} | {words} | {cause} |")
    looked_at = sum(outcome(each, "onnx")[0] != "-" for each in records.values())
    shares = ", ".join(f"{name} {counts[name]['passes']}" for name in FORMATS if counts[name]["passes"])
    head = HEAD.format(version=version("timm"), families=len(records), looked_at=looked_at, shares=shares)
    return "".join([before.partition(MARK)[0], MARK, head, *(f"{line}\n" for line in lines)])


MARK = "## Every family, exported\n"
HEAD = """
The kit `zoo.testing` over the smallest network of each family of timm {version}, by
`python benchmarks/timm_families.py`. A family is a module of timm. The networks have random weights
with a fixed seed, and are trained for two steps, so that their answers differ from picture to
picture. `passes`: the network keeps all rules of a backbone, and its file answers as it does in
PyTorch. `cannot`: the format cannot express the network. `no backbone`: visionzoo refuses the
network by name. `-`: not run yet.

{looked_at} of {families} families were looked at. These pass: {shares}.

| family | network | million parameters | pixels | ONNX fp32 | TorchScript | pt2 | cause |
|---|---|---|---|---|---|---|---|
"""


def missing(record: dict[str, Any], formats: list[str], *, again: bool) -> list[str]:
    """The formats that a family still needs."""
    if "refused" in record:
        return []
    if again or ("rules" not in record and "ended" not in record):
        return formats
    return [name for name in formats if f"exports-{name}" not in record.get("rules", {}) and "ended" not in record]


def merged(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The record with new results. The formats that were not run again keep theirs."""
    kept = {name: each for name, each in before.get("rules", {}).items() if name.startswith("exports-")}
    base = {name: before[name] for name in ("model", "millions")}
    return {**base, **found, "rules": {**kept, **found["rules"]}} if "rules" in found else {**base, **found}


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    made.add_argument("--only", nargs="+", metavar="FAMILY", help="Families of timm.")
    made.add_argument("--again", action="store_true", help="Look again at what has a record.")
    made.add_argument("--large", action="store_true", help=f"Also those of more than {LARGE} million parameters.")
    made.add_argument("--limit-seconds", type=float, default=float("inf"), help="Start nothing after this time.")
    made.add_argument("--choose", action="store_true", help="Choose the networks anew.")
    made.add_argument("--render", action="store_true", help="Only write the page, from the records.")
    made.add_argument("--results", type=Path, default=HERE / "timm_families.json")
    made.add_argument("--page", type=Path, default=HERE.parent / "docs" / "timm.md")
    options = made.parse_args()
    records = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.choose or not records:
        chosen = smallest_of_each()
        records = {
            name: records[name] if records.get(name, {}).get("model") == each["model"] else each
            for name, each in chosen.items()
        }
    if not options.render:
        warm_up()
    ends = time.monotonic() + options.limit_seconds
    for family, record in [] if options.render else list(records.items()):
        formats = missing(record, options.formats, again=options.again)
        large = record.get("millions", 0) > LARGE
        if (
            (options.only and family not in options.only)
            or not formats
            or (large and not options.large)
            or time.monotonic() > ends
        ):
            continue
        records[family] = merged(record, answer_of(look_at, record["model"], formats, limit=SECONDS))
        write(options.results, records)
        write(options.page, page(records, options.page.read_text()))
        words = ", ".join(" ".join(filter(None, [name, *outcome(records[family], name)])) for name in formats)
        print(f"{family} ({record['model']}, {records[family].get('seconds')} s): {words}", flush=True)
    write(options.results, records)
    write(options.page, page(records, options.page.read_text()))


if __name__ == "__main__":
    main()
