"""What visionzoo brings itself keeps the rules for others. Formats and loggers are looked at beside their rules."""

from __future__ import annotations

import pytest

from zoo.registry import registry
from zoo.specs import DatasetRequest
from zoo.testing import check_backbone
from zoo.testing.datasets import report_dataset
from zoo.testing.plugins import report_plugin
from zoo_torchvision.catalogue import CATALOGUE

QUICK = ("squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5")
LARGEST = 60  # million parameters; the largest of a family differ from the others in their numbers alone
REST = [
    name
    for family in CATALOGUE.values()
    for name, row in family.items()
    if name not in QUICK and row.millions <= LARGEST
]


@pytest.mark.parametrize("name", QUICK)
def test_a_backbone_keeps_the_rules(name):
    check_backbone(registry().backbone(name).spec, formats=(), weights=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", REST)
def test_each_backbone_keeps_the_rules(name):
    check_backbone(registry().backbone(name).spec, formats=(), weights=False)


@pytest.mark.parametrize("entry", [each for each in registry().datasets() if each.builtin], ids=lambda each: each.name)
def test_a_dataset_keeps_the_rules(entry, tmp_path):
    """Only `mnist` has pictures in the package: of the others, the words where they are missing are looked at."""
    request = DatasetRequest(root=tmp_path, download=False)
    report = report_dataset(entry.spec, request, optional=entry.name != "mnist").raise_if_broken()
    assert ("repeats" if entry.name == "mnist" else "missing") in report.kept


@pytest.mark.parametrize("name", ["torchvision", "exporters", "demo", "serve", "loggers"])
def test_a_plugin_of_the_package_keeps_the_rules(name):
    (plugin,) = [each for each in registry().installed() if each.builtin and each.name == name]
    report, entries = report_plugin(plugin)
    assert report.raise_if_broken().kept
    assert bool(entries) == (name not in ("demo", "serve"))
