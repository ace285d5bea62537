"""The rules of export formats."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.errors import ArtifactError, PluginError, UsageError, ZooError, raised
from zoo.exporting.options import as_written
from zoo.models.class_maps import class_maps
from zoo.models.classifier import Classifier
from zoo.registry.validation import spec_fault
from zoo.specs import ExporterSpec, MappedRuntime, WriteOptions
from zoo.testing.exporter_case import CLASSES, ExporterCase, compare, example_classifier, fed_to
from zoo.testing.networks import sample_pictures
from zoo.testing.rules import Report, Rule, SkippedRuleError, broken, follow

CARD = json.dumps({"text": 'ä "quoted" \u2028 <b>', "numbers": [1, 2.5, None]})
LONG_CARD = json.dumps({"text": "x" * 100_000})
TOLERANCES = {"fp32": None, "fp16": 5e-2, "int8": None}  # of the spread; None: the exporter's own
THREADS, CALLS = 4, 12
OPTIONS = ("opset", "external_data", "heatmap")


def _valid(case: ExporterCase) -> None:
    if fault := spec_fault(case.spec):
        raise broken(fault, "Give the field a value as zoo.specs.ExporterSpec describes it.")


def _writes(case: ExporterCase) -> None:
    before = {name: value.clone() for name, value in case.classifier.state_dict().items()}
    as_written(
        case.spec, case.spec.write(case.classifier, case.file, WriteOptions(input=case.spec.inputs[0])), case.file
    )
    found = sorted(path.name for path in case.folder.iterdir())
    if found != [case.file.name]:
        raise broken(
            f"'write' left {', '.join(found) or 'nothing'} in the folder, and one file was expected: {case.file.name}.",
            "Write exactly the path that 'write' gets: visionzoo renames it.",
        )
    if changed := [name for name, value in case.classifier.state_dict().items() if not value.equal(before[name])]:
        raise broken(f"'write' changed the classifier: {changed[0]}.", "Work on a copy: copy.deepcopy(classifier).")


def _agrees(case: ExporterCase) -> None:
    for takes, precision in itertools.product(case.spec.inputs, case.spec.precisions):
        if precision == "int8":  # calibrated, and judged by accuracy: zoo.export does that
            continue
        options = WriteOptions(input=takes, precision=precision)
        try:
            case.spec.check(options)
        except UsageError:
            continue
        path = case.file
        if options != WriteOptions(input=case.spec.inputs[0]):
            path = case.folder / f"{takes}-{precision}{case.spec.suffix}"
            case.spec.write(case.classifier, path, options)
        tolerance = TOLERANCES[precision] or case.spec.tolerance
        compare(case, case.load(path), takes, tolerance, f"With input {takes} in {precision},")


def _reads_cards(case: ExporterCase) -> None:
    if (found := case.spec.read_card(case.file)) is not None:
        raise broken(f"'read_card' of a file without a card returns {found[:40]!r}.", "Let it return None.")
    for name, text in {"card": CARD, "long": LONG_CARD}.items():
        path = case.copy(name)
        case.spec.write_card(path, text)
        if case.spec.read_card(path) != text:
            raise broken("'read_card' does not return what 'write_card' wrote.", "Keep the text as UTF-8, unchanged.")


def _keeps_hash(case: ExporterCase) -> None:
    path = case.copy("hash")
    before: Any = case.spec.content_hash(path)  # other people's code
    if not isinstance(before, str) or not before.startswith("sha256:"):
        raise broken(f"'content_hash' returns {before!r}.", "Let it return 'sha256:' and 64 hexadecimal digits.")
    case.spec.write_card(path, CARD)
    if case.spec.content_hash(path) != before:
        raise broken("The card changes the content's hash.", "Leave the card out of 'content_hash'.")
    other = Classifier(case.classifier.network, CLASSES, case.classifier.spec, check=False).eval()
    with torch.no_grad():
        bias = case.classifier.network.get_parameter("5.bias")
        bias.add_(0.5)
        try:
            case.spec.write(other, case.folder / f"other{case.spec.suffix}", WriteOptions(input=case.spec.inputs[0]))
        finally:
            bias.sub_(0.5)
    if case.spec.content_hash(case.folder / f"other{case.spec.suffix}") == before:
        raise broken("Files with other weights have the same hash.", "Let 'content_hash' cover the whole content.")


def _stands_alone(case: ExporterCase) -> None:
    with tempfile.TemporaryDirectory(prefix="zoo-testing-") as elsewhere:
        path = Path(shutil.copy(case.copy("alone"), Path(elsewhere) / f"ä b{case.spec.suffix}"))
        case.spec.write_card(path, CARD)
        compare(case, case.load(path), case.spec.inputs[0], case.spec.tolerance, "Copied elsewhere, with a card,")


def _same_unoptimised(case: ExporterCase) -> None:
    runtime = case.load(case.file, optimised=False)
    compare(case, runtime, case.spec.inputs[0], case.spec.tolerance, "Without the runtime's optimisation,")


def _takes_threads(case: ExporterCase) -> None:
    runtime = case.load(case.file)
    fed = fed_to(case, np.stack([sample_pictures(1)[0]] * 2))
    first = runtime(fed)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(runtime, [fed] * CALLS))
    if not all(np.allclose(answer, first, rtol=0, atol=1e-5) for answer in answers):
        raise broken("Called from several threads, it gives other answers.", "Keep no state between calls, or lock it.")


def _refuses_damage(case: ExporterCase) -> None:
    content = case.file.read_bytes()
    damaged = {"empty": b"", "text": b"no model at all\n", "half": content[: len(content) // 2]}
    for name, data in damaged.items():
        path = case.folder / f"{name}{case.spec.suffix}"
        path.write_bytes(data)
        calls: dict[str, Callable[[Path], object]] = {"read_card": case.spec.read_card, "load": case.load}
        for what, call in calls.items():
            try:
                call(path)
            except ZooError:
                continue
            except Exception as error:
                raise broken(
                    f"'{what}' of a damaged file ({name}) raises {raised(error)}.",
                    "Raise zoo.errors.ArtifactError with a sentence of cause and one of remedy.",
                ) from error
            if what == "load":
                raise broken(f"'load' takes a damaged file ({name}).", "Raise zoo.errors.ArtifactError.")


def _declares(case: ExporterCase) -> None:
    for name in case.spec.options:
        if name not in OPTIONS:
            raise broken(f"It declares the option '{name}'.", f"Options are some of {', '.join(OPTIONS)}.")
    if not {"external_data", "heatmap"} & set(case.spec.options):
        raise SkippedRuleError("It declares no external data and no heat maps.")
    if "heatmap" in case.spec.options:
        _gives_maps(case)
    if "external_data" in case.spec.options:
        _splits_off_data(case)


def _gives_maps(case: ExporterCase) -> None:
    classifier = example_classifier(places=1)
    path = case.folder / f"maps{case.spec.suffix}"
    case.spec.write(classifier, path, WriteOptions(input=case.spec.inputs[0], heatmap=True))
    runtime = case.load(path)
    images = np.stack([sample_pictures(1)[0]] * 2)
    if not isinstance(runtime, MappedRuntime):
        raise broken("The runtime of a file with heat maps has no 'maps'.", "See zoo.specs.MappedRuntime.")
    maps = runtime.maps(fed_to(case, images))
    wanted = class_maps(classifier, images)
    if maps.shape != wanted.shape or not np.abs(maps - wanted).max() <= 1e-3 * wanted.std():
        remedy = "Return zoo.models.class_maps.ClassMaps of the network as they are."
        raise broken("The heat maps of a file are not those of its classifier.", remedy)


def _splits_off_data(case: ExporterCase) -> None:
    folder = case.folder / "external"
    folder.mkdir()
    path = folder / f"model{case.spec.suffix}"
    case.spec.write(case.classifier, path, WriteOptions(input=case.spec.inputs[0], external_data=True))
    found = sorted(each.name for each in folder.iterdir())
    if found != sorted([path.name, f"{path.name}.data"]):
        raise broken(f"With external data, 'write' left {', '.join(found)}.", f"Write the weights to {path.name}.data.")


def _exports(case: ExporterCase) -> None:
    if "pixels" not in case.spec.inputs:
        raise SkippedRuleError("It takes no pixels.")
    from zoo.exporting.pipeline import export
    from zoo.exporting.run_hooks import untold
    from zoo.registry import registry

    try:
        registry().exporter(case.spec.name)
    except UsageError:
        raise SkippedRuleError("It is not registered in this environment.") from None
    with tempfile.TemporaryDirectory(prefix="zoo-testing-") as folder:
        try:
            with untold():
                artifact = export(case.classifier, case.spec.name, Path(folder) / "model", pictures=sample_pictures())
        except ArtifactError as error:
            raise broken(error.cause, error.remedy) from error
        if sorted(path.name for path in Path(folder).iterdir()) != [artifact.path.name]:
            raise broken("'zoo export' left other files beside the artifact.", "Write exactly one file.")


_WRITTEN = ("valid", "writes")
RULES: tuple[Rule[ExporterCase], ...] = (
    Rule(name="valid", says="The fields of the spec have the types and values of `ExporterSpec`.", check=_valid),
    Rule(
        name="writes",
        says="`write` writes exactly its path, and does not change the classifier.",
        check=_writes,
        after=("valid",),
    ),
    Rule(
        name="agrees",
        says="For each declared input and precision but int8, logits are those of the classifier: for pictures of "
        "1 x 1, 17 x 301 and other sizes, and batches of 3.",
        check=_agrees,
        after=_WRITTEN,
    ),
    Rule(
        name="reads-cards",
        says="`read_card` returns the text of `write_card` unchanged, and None where there is none.",
        check=_reads_cards,
        after=_WRITTEN,
    ),
    Rule(
        name="keeps-hash",
        says="`content_hash` covers the weights and not the card.",
        check=_keeps_hash,
        after=("reads-cards",),
    ),
    Rule(
        name="stands-alone",
        says="A file with a card answers the same in another folder under another name.",
        check=_stands_alone,
        after=("agrees", "reads-cards"),
    ),
    Rule(
        name="unoptimised",
        says="Loaded with `optimised=False`, it answers the same.",
        check=_same_unoptimised,
        after=("agrees",),
    ),
    Rule(name="threads", says="Several threads may call a runtime at once.", check=_takes_threads, after=("agrees",)),
    Rule(
        name="refuses-damage",
        says="`load` and `read_card` refuse damaged files with cause and remedy.",
        check=_refuses_damage,
        after=_WRITTEN,
    ),
    Rule(name="options", says="Declared options work.", check=_declares, after=_WRITTEN),
    Rule(
        name="exports",
        says="`zoo export` accepts the file: in a fresh process it agrees with the classifier.",
        check=_exports,
        after=("agrees", "keeps-hash"),
    ),
)


def report_exporter(spec: ExporterSpec) -> Report:
    """Looks at all rules of a format, in a temporary folder."""
    if not isinstance(spec, ExporterSpec):
        raise PluginError("What was given is not an ExporterSpec.", "Give one, as the hook zoo_exporters returns it.")
    with tempfile.TemporaryDirectory(prefix="zoo-testing-", ignore_cleanup_errors=True) as folder:
        return follow(f"the exporter '{spec.name}'", RULES, ExporterCase(spec, Path(folder)))
