"""Whatever a file holds: a sentence, soon, and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.artifacts.predictor import load
from zoo.models.classifier import Classifier
from zoo.specs import PreprocessSpec, WriteOptions
from zoo_exporters.plugin import zoo_exporters

from ..cards import any_card
from . import damage

QUICK = len(damage.KINDS) + 10
CHILD = Path(__file__).with_name("fuzz_child.py")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, damage.Whole]:
    """By suffix, a sound artifact of each format."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    classifier = Classifier(network, "abc", PreprocessSpec(image_size=8), check=False).eval()
    found = {}
    for exporter in zoo_exporters():
        path = tmp_path_factory.mktemp("whole") / f"model{exporter.suffix}"
        exporter.write(classifier, path, WriteOptions())
        card = any_card(
            format=exporter.name,
            classes=classifier.classes,
            preprocess=classifier.spec,
            content_hash=exporter.content_hash(path),
        )
        found[exporter.suffix] = damage.Whole(exporter.suffix, path.read_bytes(), card.model_dump_json().encode())
    return found


def opened(paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """By the file's name, what became of it in a process with limits."""
    names = "\n".join(map(str, paths))
    done = subprocess.run(
        [sys.executable, CHILD], input=names, capture_output=True, text=True, timeout=600, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    reached = {line.pop("path"): line for line in lines}
    missing = [path.name for path in paths if path.name not in reached]
    assert not missing, f"{missing[0]} ended the process with {done.returncode}: {done.stderr[-2000:]}"
    return reached


def check(numbers: Iterable[int], whole: dict[str, damage.Whole], folder: Path) -> None:
    paths = [damage.write(number, whole, folder) for number in numbers]
    for name, results in opened(paths).items():
        for call, result in results.items():
            assert result == "taken" or result.startswith("refused: "), f"{call} of {name}: {result}"
        if results["load"] == "taken":
            # Damage that hits nothing that counts: what runs is what the hash describes.
            path = folder / name
            assert damage.kind(path) in damage.HARMLESS, name
            exporter = next(own for own in zoo_exporters() if own.suffix == path.suffix)
            expected = json.loads(whole[path.suffix].card)["content_hash"]
            assert exporter.content_hash(path) == load(path).card.content_hash == expected, name
        else:
            assert len(results["load"]) < 2_000, name


def test_sound_files_are_taken(whole, tmp_path):
    paths = [tmp_path / f"sound{suffix}" for suffix in whole]
    for path, own in zip(paths, whole.values(), strict=True):
        path.write_bytes(own.with_card(own.card))
    for name, results in opened(paths).items():
        assert set(results.values()) == {"taken"}, (name, results)


def test_damaged_files_end_in_a_sentence(whole, tmp_path):
    check(range(QUICK), whole, tmp_path)


@pytest.mark.slow
def test_many_damaged_files_end_in_a_sentence(whole, tmp_path):
    check(range(QUICK, QUICK + 500), whole, tmp_path)
