"""The built-in formats keep all rules of exporters, and each rule names the format that breaks it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from zoo.errors import ArtifactError
from zoo.exporting import run_hooks
from zoo.registry import registry
from zoo.specs import BackboneSpec, ExporterSpec, Written
from zoo.testing import ConformanceError, check_backbone, check_exporter
from zoo.testing.exporter_case import example_classifier
from zoo.testing.exporters import RULES
from zoo.testing.networks import sample_pictures

from ..networks import STAGES, Small

SMALL = BackboneSpec(name="small", build=Small, head="head", stages=lambda network: STAGES, min_image_size=8)


def write(classifier, path, options):
    """The classifier's own pickle in a zip; the card beside it in the same zip."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("model", "w") as file:
        torch.save(classifier, file)
    return Written()


def _entries(path):
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise ArtifactError("It is damaged.", "Export it again.") from None


def write_card(path, text):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("card", text)


def read_card(path):
    found = _entries(path).get("card")
    return None if found is None else found.decode()


def content_hash(path):
    with zipfile.ZipFile(path) as archive, archive.open("model") as file:
        model = torch.load(file, weights_only=False)
    values = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    return f"sha256:{hashlib.sha256(values).hexdigest()}"


def load(path, options):
    _entries(path)
    with zipfile.ZipFile(path) as archive, archive.open("model") as file:
        model = torch.load(file, weights_only=False)

    def run(images):
        with torch.inference_mode():
            return model(torch.from_numpy(images.copy())).numpy()

    return run


SOUND = ExporterSpec(
    name="zip",
    suffix=".zip",
    write=write,
    write_card=write_card,
    read_card=read_card,
    content_hash=content_hash,
    load=load,
)


def answering(change):
    """A runtime that changes the answers, or what it is asked."""

    def loaded(path, options):
        run = load(path, options)
        return lambda images: change(run, images)

    return replace(SOUND, load=loaded)


def not_small(run, images):
    if min(images.shape[1:3]) == 1:
        raise ValueError("too small")
    return run(images)


def off(run, images):
    return run(images) * np.float32(1.001)


def first_only(run, images):
    return np.repeat(run(images)[:1], len(images), axis=0)


def untidy(classifier, path, options):
    path.with_name("notes.txt").write_text("for me")
    return write(classifier, path, options)


def training(classifier, path, options):
    with torch.no_grad():
        classifier.network[0].weight.mul_(1.01)
    return write(classifier, path, options)


def whole_hash(path):
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def other_if_plain(path, options):
    run = load(path, options)
    return run if options.optimised else lambda images: run(images) + 1


def one_at_a_time(path, options):
    import threading
    import time

    run, busy = load(path, options), threading.Lock()

    def guarded(images):
        if not busy.acquire(blocking=False):
            return np.zeros((len(images), 4), np.float32)
        try:
            time.sleep(0.01)
            return run(images)
        finally:
            busy.release()

    return guarded


def beside(path, options):
    if path.parent.name.startswith("zoo-testing-") and not (path.parent / "model.zip").exists():
        raise ArtifactError("The weights are missing.", "Put them back.")
    return load(path, options)


def careless(path, options):
    with zipfile.ZipFile(path):
        return load(path, options)


BROKEN = {
    "wrong type": (replace(SOUND, tolerance="small"), "valid"),
    "two files": (replace(SOUND, write=untidy), "writes"),
    "no result": (replace(SOUND, write=lambda *given: write(*given) and None), "writes"),
    "another path": (replace(SOUND, write=lambda classifier, path, options: Written()), "writes"),
    "the classifier changes": (replace(SOUND, write=training), "writes"),
    "a runtime that is off by 1e-3": (answering(off), "agrees"),
    "1 x 1": (answering(not_small), "agrees"),
    "batches of 3": (answering(first_only), "agrees"),
    "float64": (answering(lambda run, images: run(images).astype(np.float64)), "agrees"),
    "card in other words": (
        replace(
            SOUND, read_card=lambda path: (text := read_card(path)) and json.dumps(json.loads(text), ensure_ascii=False)
        ),
        "reads-cards",
    ),
    "the card changes the hash": (replace(SOUND, content_hash=whole_hash), "keeps-hash"),
    "one hash for all": (replace(SOUND, content_hash=lambda path: "sha256:0"), "keeps-hash"),
    "needs a file beside it": (replace(SOUND, load=beside), "stands-alone"),
    "other answers unoptimised": (replace(SOUND, load=other_if_plain), "unoptimised"),
    "one thread": (replace(SOUND, load=one_at_a_time), "threads"),
    "a foreign error": (replace(SOUND, load=careless), "refuses-damage"),
    "an option that is not there": (replace(SOUND, options=("colour",)), "options"),
    "heat maps that are not there": (replace(SOUND, options=("heatmap",)), "options"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(case):
    spec, rule = BROKEN[case]
    with pytest.raises(ConformanceError) as caught:
        check_exporter(spec)
    assert str(caught.value).startswith(f"These rules are broken: '{rule}'.")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"write": lambda *given: write(*given) and None}, "'write' of the format zip returned None"),
        ({"write": lambda classifier, path, options: Written()}, "'write' of the format zip wrote no file"),
        (
            {"write": lambda *given: write(*given) and Written(facts={"x": pytest})},
            "The format zip has a value that a card cannot hold: exported",
        ),
        ({"content_hash": lambda path: None}, "The format zip has a value that a card cannot hold: content_hash"),
    ],
)
def test_an_export_names_the_format_that_is_at_fault(changed, words, artifacts_here, tmp_path):
    zoo.register(replace(SOUND, **changed))
    with pytest.raises(zoo.ZooError, match=words):
        zoo.export(example_classifier(), "zip", tmp_path / "model", pictures=sample_pictures())
    assert list(tmp_path.glob("model*")) == []


def test_each_rule_has_a_format_that_breaks_it():
    assert {rule for _, rule in BROKEN.values()} | {"exports"} == {rule.name for rule in RULES}


def test_what_only_an_export_finds_is_named(artifacts_here):
    spec = answering(lambda run, images: run(images) + np.float32(len(images) == 7))
    zoo.register(spec)
    with pytest.raises(ConformanceError, match="'exports'") as caught:
        check_exporter(spec)
    assert [result.rule for result in caught.value.report.broken] == ["exports"]


def test_a_sound_format_keeps_all_rules():
    report = check_exporter(SOUND)
    assert {result.rule for result in report.results if result.state == "skipped"} == {"options", "exports"}
    assert len(report.kept) == len(RULES) - 2


def test_a_suffix_may_have_several_dots(artifacts_here):
    spec = replace(SOUND, name="dotted", suffix=".own.zip")
    zoo.register(spec)
    assert "exports-dotted" in check_backbone(SMALL, formats=("dotted",)).kept


def test_exports_of_the_kit_call_no_run_hooks(artifacts_here, monkeypatch):
    zoo.register(SOUND)
    monkeypatch.setattr(run_hooks, "RunHooks", None)
    assert "exports" in check_exporter(SOUND).kept
    assert "exports-zip" in check_backbone(SMALL, formats=("zip",)).kept


# tests/exporters compares the answers in fp16, and for pictures that are preprocessed already.
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("onnx", {"inputs": ("pixels",), "precisions": ("fp32",)}),
        pytest.param("onnx", {}, marks=pytest.mark.slow),
        ("torchscript", {}),
        ("pt2", {}),
    ],
)
def test_the_built_in_formats_keep_all_rules(name, part, artifacts_here):
    report = check_exporter(replace(registry().exporter(name).spec, **part))
    assert not [result.rule for result in report.results if result.state == "skipped"]
