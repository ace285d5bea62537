"""A run whose backbone is not known here says which distribution had it, and how to install that."""

from __future__ import annotations

import shutil
import sys

import pytest

from zoo.errors import PluginError, UnknownNameError
from zoo.exporting.pipeline import export
from zoo.registry import registry
from zoo.runs.run import Run
from zoo.training.api import resume

from ..refusals import refused


@pytest.fixture
def elsewhere(trained, tmp_path):
    """A copy of a run, and a function that says another origin of its backbone."""

    def make(name: str, plugin: str) -> Run:
        run = Run(shutil.copytree(trained.path, tmp_path / "copied"))
        run.info.backbone, run.info.backbone_plugin = name, plugin
        run.save()
        recipe = run.path / "recipe.toml"
        recipe.write_text(recipe.read_text().replace('"tiny"', f'"{name}"'))
        return Run(run.path)

    return make


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs the distribution `zoo-gone` in version 2.0."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(source: str) -> None:
        (tmp_path / "zoo_gone.py").write_text(source)
        metadata = tmp_path / "zoo_gone-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-gone\nVersion: 2.0\n")
        (metadata / "entry_points.txt").write_text("[zoo]\ngone = zoo_gone\n")
        registry.cache_clear()

    yield install
    sys.modules.pop("zoo_gone", None)
    registry.cache_clear()


def test_the_distribution_and_how_to_install_it_are_said(elsewhere):
    run = elsewhere("gone", "zoo-gone 1.2")
    for use in (lambda: export(run, "torchscript"), lambda: resume(run.path, epochs=7), run.classifier):
        with refused("run-plugin-missing", "'gone' of zoo-gone 1.2", "pip install 'zoo-gone==1.2'", kind=PluginError):
            use()


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (
            "from zoo.hookspecs import hookimpl\n@hookimpl\ndef zoo_backbones():\n    return []\n",
            ("installed zoo-gone 2.0 does not have it", "pip install 'zoo-gone==1.2'"),
        ),
        ("1 / 0", ("does not load: Importing zoo_gone raised ZeroDivisionError", "zoo plugins disable zoo-gone")),
    ],
)
def test_an_installed_distribution_without_it_is_told_apart(elsewhere, installed, source, facts):
    installed(source)
    with refused("run-plugin-missing", *facts):
        elsewhere("gone", "zoo-gone 1.2").classifier()


def test_a_disabled_distribution_is_told_apart(elsewhere, installed, monkeypatch):
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", "zoo-gone")
    installed("1 / 0")
    with refused("run-plugin-missing", "which is disabled", "zoo plugins enable zoo-gone"):
        elsewhere("gone", "zoo-gone 1.2").classifier()


@pytest.mark.parametrize("recorded", ["this process", "visionzoo 0.1.0", "evil'; rm -r ~; echo 1.0"])
def test_what_is_no_distribution_is_not_offered(elsewhere, recorded):
    with refused("unknown-name", "'gone'", kind=UnknownNameError) as caught:
        elsewhere("gone", recorded).classifier()
    assert "pip install" not in str(caught.value)
