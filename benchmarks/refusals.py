"""Exports networks of two steps of training in fp16 and int8: what is refused, and is that right?

    python benchmarks/refusals.py

The networks are all of torchvision and one of each family of timm (`timm_families.json`), the smallest first, at 64
pixels where they allow it, with 5 classes, a fixed seed, and the two steps of `zoo.testing`. `zoo export` then writes
and checks each file, on pictures with clear answers: half of 96 drawn pictures, those whose two best logits are
furthest apart. export_matrix.py and timm_families.py do the same in fp32, in every format.

Each network runs in its own process. Finished ones are saved in refusals.json at once. So you can stop the script at
any time, and the same command continues it. Networks of more than 100 million parameters run only with `--large`.

A network that is refused in fp16 is also run by PyTorch in half precision, with eager modules and no file: how far it
is from itself in fp32 shows whether the file or the precision is at fault.

Claimed: each refusal names a cause that holds. The script updates refusals.md while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from forked import answer_of, cell, warm_up, write

HERE = Path(__file__).resolve().parent
PRECISIONS = ("fp16", "int8")
CLASSES = ("one", "two", "three", "four", "five")
IMAGE_SIZE = 64
DRAWN, KEPT = 96, 48
LARGE = 100  # million parameters
SECONDS = 1200  # of one network
LONGEST = 600  # characters of a message


def networks() -> dict[str, float]:
    """Name and millions of parameters, the smallest first."""
    from zoo_torchvision.catalogue import CATALOGUE

    found = {name: row.millions for family in CATALOGUE.values() for name, row in family.items()}
    for record in json.loads((HERE / "timm_families.json").read_text()).values():
        if "millions" in record:
            found[f"timm/{record['model'].removeprefix('timm/')}"] = record["millions"]
    return dict(sorted(found.items(), key=lambda item: item[1]))


def backbone(name: str) -> Any:
    if name.startswith("timm/"):
        from visionzoo_timm.backbones import spec

        return spec(name.removeprefix("timm/"))
    from zoo.registry import registry

    return registry().backbone(name).spec


def look_at(name: str) -> dict[str, Any]:
    """What became of each export of a network: seconds, or a code and a sentence."""
    import torch

    from zoo.exporting.pipeline import export
    from zoo.models.classifier import Classifier
    from zoo.specs import PreprocessSpec
    from zoo.testing.networks import SEED, awaken, sample_pictures, spread

    torch.set_num_threads(1)
    spec = backbone(name)
    size = spec.min_image_size if spec.fixed_image_size else max(spec.min_image_size, IMAGE_SIZE)
    pictures = sample_pictures(DRAWN)
    torch.manual_seed(SEED)
    classifier = Classifier(spec.build(len(CLASSES)), CLASSES, PreprocessSpec(image_size=size), check=False)
    with torch.no_grad():
        inputs = [classifier.preprocess(torch.from_numpy(picture[None])) for picture in pictures]
    awaken(classifier.network, torch.cat(inputs[:10]), len(CLASSES))
    with torch.no_grad():
        logits = torch.cat([classifier.network(each) for each in inputs])
    best = logits.sort(dim=1).values
    clear = (best[:, -1] - best[:, -2]).argsort(descending=True)[:KEPT].tolist()
    labelled = ([pictures[index] for index in clear], logits.argmax(1)[clear].numpy())
    found: dict[str, Any] = {"image_size": size, "spread": round(spread(logits), 4), "exports": {}}
    for precision in PRECISIONS:
        begun = time.monotonic()
        with TemporaryDirectory() as folder:
            try:
                export(classifier.eval(), "onnx", Path(folder) / "model", precision=precision, pictures=labelled)
                found["exports"][precision] = {}
            except Exception as error:  # an error of a third party is a result too
                words = f"{error}".strip() or type(error).__name__
                found["exports"][precision] = {
                    "code": getattr(error, "code", type(error).__name__),
                    "words": words[:600],
                }
        found["exports"][precision]["seconds"] = round(time.monotonic() - begun)
    if "code" in found["exports"]["fp16"]:
        found["half_without_file"] = in_half(classifier, pictures) / spread(logits)
    return found


def in_half(classifier: Any, pictures: list[Any]) -> float:
    """The largest difference of a logit between PyTorch's half precision and fp32, on pictures of a parity check."""
    import copy

    import numpy as np
    import torch

    from zoo.parity.cases import core, edges

    half, size = copy.deepcopy(classifier.network).half(), classifier.spec.image_size
    batches = [picture[None] for picture in pictures]
    batches += [case.pixels(None) for case in (*core(pictures, size), *edges(pictures, size))]
    differences = []
    with torch.no_grad():
        for batch in batches:
            inputs = classifier.preprocess(torch.from_numpy(batch))
            differences.append((classifier.network(inputs) - half(inputs.half()).float()).abs().max().item())
    return float(np.max(differences))  # NaN stays NaN


def page(records: dict[str, dict[str, Any]], known: int) -> str:
    """The results in Markdown: counts, then each refusal."""
    lines = [
        "# Exports that are refused",
        "",
        f"{len(records)} of {known} networks: `python benchmarks/refusals.py` says how they are made.",
        "",
        "| export | files that agree | refused |",
        "|---|---|---|",
    ]
    refused = []
    for title in PRECISIONS:
        made = {name: record["exports"][title] for name, record in records.items() if "exports" in record}
        faults = {name: each for name, each in made.items() if "code" in each}
        lines.append(f"| {title} | {len(made) - len(faults)} | {len(faults)} |")
        refused += [f"| {name} | {title} | `{each['code']}` | {cell(each['words'])} |" for name, each in faults.items()]
    refused += [f"| {name} | all | | {each['ended']} |" for name, each in records.items() if "ended" in each]
    codes = Counter(row.split("|")[3].strip() for row in refused)
    lines += ["", *(f"- {code or 'ended'}: {count}" for code, count in codes.most_common())]
    halves = [
        f"{name} {each['half_without_file']:.2g}" for name, each in records.items() if "half_without_file" in each
    ]
    lines += [
        "",
        "PyTorch's own half precision, without a file, differs from its fp32 by this share of the spread where fp16 is",
        f"refused: {', '.join(halves)}.",
    ]
    other = [each["exports"] for each in records.values() if "code" in each.get("exports", {}).get("int8", {})]
    agree = sum("code" not in each["fp16"] for each in other)
    lines += [
        "",
        f"Of the {len(other)} networks that are refused in int8, {agree} agree in fp16, the remedy that is named.",
    ]
    lines += ["", "| network | export | code | cause and remedy |", "|---|---|---|---|", *refused, ""]
    return "\n".join(lines)


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="+", help="Names of networks.")
    made.add_argument("--again", action="store_true", help="Run again what has a record.")
    made.add_argument("--large", action="store_true", help=f"Also those of more than {LARGE} million parameters.")
    made.add_argument("--limit-seconds", type=float, default=float("inf"), help="Start nothing after this time.")
    made.add_argument("--results", type=Path, default=HERE / "refusals.json")
    options = made.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warm_up()
    results: Path = options.results
    records = json.loads(results.read_text()) if results.exists() else {}
    known = networks()
    begun = time.monotonic()
    for name, millions in known.items():
        wanted = name in options.only if options.only else options.large or millions <= LARGE
        if not wanted or (name in records and not options.again) or time.monotonic() - begun > options.limit_seconds:
            continue
        records[name] = answer_of(look_at, name, limit=SECONDS)
        write(results, records)
        write(results.with_suffix(".md"), page(records, len(known)))
        print(
            name,
            {title: each.get("code", "agrees") for title, each in records[name].get("exports", {}).items()},
            flush=True,
        )


if __name__ == "__main__":
    main()
