"""The plugins of docs/plugins run as they stand, and keep the rules of `zoo.testing`."""

from __future__ import annotations

import csv
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.registry import registry
from zoo.specs import DatasetRequest
from zoo.testing import check_backbone, check_dataset, check_exporter, check_logger
from zoo.testing.networks import sample_pictures

DOCS = Path(__file__).parents[1] / "docs/plugins"
NAMED = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> dict[str, str]:
    """The plugin files of a page, by the name that their docstring begins with."""
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return {block.split('"""')[1].split(":")[0]: block for block in found}


@pytest.fixture
def added(tmp_path):
    """A function that loads a plugin file of a page."""

    def add(page, name):
        path = tmp_path / name
        path.write_text(blocks(page)[name])
        registry().add_file(path)
        return registry()

    return add


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The files of the tutorial, installed."""
    files = dict(NAMED.findall((DOCS / "tutorial.md").read_text(encoding="utf-8")))
    for name, text in {**files, "visionzoo_shapes/__init__.py": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    metadata = tmp_path / "visionzoo_shapes-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: visionzoo-shapes\nVersion: 1.0\n")
    entry = re.search(r"\[project.entry-points.zoo\]\n(.*)", files["pyproject.toml"]).group(1)
    (metadata / "entry_points.txt").write_text(f"[zoo]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    registry.cache_clear()
    yield files
    registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("visionzoo_shapes")]:
        del sys.modules[name]


def test_the_tutorials_package_keeps_all_rules(package, tmp_path, artifacts_here, no_plots):
    names: dict = {}
    exec(package["tests/test_rules.py"], names)
    names["test_backbones"]()
    names["test_datasets"](tmp_path / "data")
    (status,) = [each for each in registry().plugins() if each.plugin.distribution == "visionzoo-shapes"]
    assert status.registers["backbones"] == ["shapes-net"]
    run = zoo.train("shapes-net", "shapes", epochs=12, learning_rate=0.01, output=tmp_path / "run")
    assert run.metrics["top1"] > 0.7


def test_the_format_is_complete(added, tmp_path, artifacts_here, trained):
    host = added("exporter.md", "archive.py")
    report = check_exporter(host.exporter("archive").spec)
    assert [result.rule for result in report.results if result.state == "skipped"] == ["options"]
    artifact = zoo.export(trained, tmp_path / "model.archive")
    assert zoo.load(artifact.path).classes == ("bar", "line", "slope")


def test_weights_of_a_private_registry(added, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.delenv("COMPANY_WEIGHTS", raising=False)
    spec = added("cookbook.md", "company.py").backbone("resnet18-products").spec
    with pytest.raises(OSError, match="COMPANY_WEIGHTS"):
        spec.weights.load()
    save_file(spec.build(5).state_dict(), tmp_path / "resnet18-products.safetensors")
    monkeypatch.setenv("COMPANY_WEIGHTS", str(tmp_path))
    assert "weights" in check_backbone(spec, formats=()).kept


def test_a_dataset_of_the_company(added, tmp_path):
    spec = added("cookbook.md", "parts.py").dataset("parts").spec
    folder = tmp_path / "parts"
    folder.mkdir()
    rows = []
    for number, picture in enumerate(sample_pictures(8)):
        Image.fromarray(picture).save(folder / f"{number}.png")
        rows.append((f"{number}.png", "nut" if number % 2 else "bolt", "test" if number > 5 else "train"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "part", "split"), *rows])
    assert len(check_dataset(spec, tmp_path).kept) == 9
    assert np.array_equal(spec.load(DatasetRequest(root=tmp_path)).test.labels, [0, 1])


def test_a_torch_dataset(added, tmp_path):
    report = check_dataset(added("cookbook.md", "fake.py").dataset("fake").spec, tmp_path)
    assert [result.rule for result in report.results if result.state == "skipped"] == ["missing"]


def test_a_head_of_ones_own(added):
    check_backbone(added("cookbook.md", "cosine.py").backbone("cosine").spec, formats=("torchscript",))


def test_a_logger(added):
    check_logger(added("cookbook.md", "jsonl.py").logger("jsonl").spec)


def test_no_block_is_left_out():
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(blocks("cookbook.md")) == 5
    assert all(f'"{name}"' in text for page in ("cookbook.md", "exporter.md") for name in blocks(page))
