"""Fifty installed plugins: commands that do not need them import none."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from zoo.cli.plugin_new import PARTS, package
from zoo.registry import registry

COUNT = 50


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Generated packages with all parts. Each leaves a file when its plugin is imported."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(COUNT):
        name, module = f"made-{index}", f"made_{index}"
        for path, text in package(name, module, list(PARTS)).items():
            if path.startswith("src/"):
                (folder / module).mkdir(exist_ok=True)
                (folder / path.removeprefix("src/")).write_text(text)
        with (folder / module / "plugin.py").open("a") as file:
            file.write("\nfrom pathlib import Path\n\nPath(__file__).with_suffix('.imported').touch()\n")
        metadata = folder / f"{module}-0.1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
        entries = f"[zoo]\n{module} = {module}.plugin\n[zoo.commands]\n{name} = {module}.plugin\n"
        (metadata / "entry_points.txt").write_text(entries)
    return folder


@pytest.fixture
def run(site, tmp_path):
    """Runs zoo among them. Returns what it printed, and how many it imported."""

    def zoo(*arguments: str) -> tuple[str, int]:
        for mark in site.rglob("*.imported"):
            mark.unlink()
        path = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
        done = subprocess.run(
            [sys.executable, "-m", "zoo", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout, len(list(site.rglob("*.imported")))

    return zoo


def test_the_help_names_their_commands_and_imports_none(run):
    text, imported = run("--help")
    assert imported == 0
    assert all(f"From the plugin made-{index}." in text for index in range(COUNT))


def test_a_training_with_built_in_names_imports_none(run, bars):
    options = ["--epochs", "1", "--image-size", "32", "--weights", "none", "--limit", "12", "--device", "cpu"]
    _, imported = run("train", "squeezenet1_1", str(bars), *options)
    assert imported == 0


def test_a_prediction_imports_none(run, model, bars):
    text, imported = run("predict", str(model), str(next((bars / "test" / "bar").iterdir())), "--json")
    assert imported == 0
    assert "bar" in text


def test_a_listing_imports_each_once(run):
    text, imported = run("list", "loggers", "--json")
    assert imported == COUNT
    assert len(json.loads(text)["loggers"]) == COUNT + len([each for each in registry().loggers() if each.builtin])


def test_a_declared_command_imports_its_own_plugin(run):
    assert run("made-7", "Ada") == ("hello Ada\n", 1)
