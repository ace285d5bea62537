"""A network from a plugin file: its run is found again by other processes, or they say what they lack."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import zoo
from zoo.artifacts.predictor import read_card
from zoo.cli import app
from zoo.errors import PluginError, ZooError
from zoo.registry import registry
from zoo.registry.plugin_file import VARIABLE
from zoo.runs.info import RunInfo
from zoo.runs.plugins import _warn_changed
from zoo.runs.run import Run
from zoo.specs import BackboneSpec, DatasetSpec, Stage

from ..plugin_files import SOURCE, write_plugin
from ..refusals import refused

OPTIONS = ("--image-size", "16", "--batch-size", "16", "--precision", "fp32", "--epochs", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def forget(monkeypatch) -> Callable[[], None]:
    """A function that makes this process like a new one, which has loaded no plugin file."""
    monkeypatch.setenv(VARIABLE, "")

    def anew() -> None:
        os.environ[VARIABLE] = ""
        registry.cache_clear()
        _warn_changed.cache_clear()

    anew()
    yield anew
    anew()


def invoke(*command: object) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in command])
    if isinstance(result.exception, ZooError):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def first(bars, tmp_path_factory) -> Run:
    """A run of `mine`, trained with a relative `--plugin` in a folder of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    write_plugin(folder / "code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        patch.chdir(folder / "code")
        invoke("train", "mine", bars, *OPTIONS, "--plugin", "my_zoo.py", "--output", folder / "run")
    registry.cache_clear()
    return Run(folder / "run")


@pytest.fixture
def made(first, tmp_path, monkeypatch, forget) -> Run:
    """A copy of `first`, as if it had been trained in this test's folder."""
    shutil.copytree(first.path, tmp_path / "run")
    path = write_plugin(tmp_path / "code")
    run = Run(tmp_path / "run")
    run.info.plugins = [replace(run.info.plugins[0], path=str(path))]
    run.recipe = replace(run.recipe, plugins=(str(path),))
    run.save()
    monkeypatch.chdir(tmp_path)
    return run


def test_a_run_records_the_absolute_path_and_the_hash(first):
    (file,) = first.info.plugins
    path = first.path.parent / "code" / "my_zoo.py"
    assert (file.name, file.path) == ("my_zoo.py", str(path))
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert first.recipe.plugins == (str(path),)
    assert first.info.backbone_plugin == f"my_zoo.py sha256:{file.sha256[:12]}"


def test_another_process_finds_the_file(made, tmp_path, forget):
    assert made.classifier().network[1].out_features == 3
    forget()
    evaluated = json.loads(invoke("evaluate", made.path, "--json").stdout)
    assert evaluated["metrics"]["top1"] == made.metrics["top1"]
    forget()
    artifact = zoo.export(made, "torchscript")
    card = read_card(artifact.path)
    assert card.recipe["plugins"] == ["my_zoo.py"]
    assert str(card.backbone_plugin) == made.info.backbone_plugin
    assert str(tmp_path) not in card.sealed()


def test_where_the_file_is_missing_its_hash_and_the_remedy_are_said(made, tmp_path, forget):
    (tmp_path / "code" / "my_zoo.py").rename(tmp_path / "moved.py")
    recorded = made.info.plugins[0]
    for command in (("export", made.path, "--torchscript"), ("evaluate", made.path)):
        with refused("plugin-file-moved", recorded.path, recorded.short_hash, "--plugin", kind=PluginError):
            invoke(*command)
    (tmp_path / "new").mkdir()
    (tmp_path / "moved.py").rename(tmp_path / "new" / "my_zoo.py")
    result = invoke("evaluate", made.path, "--plugin", "new/my_zoo.py")
    assert "plugin" not in result.stderr


def test_a_changed_file_is_used_with_a_warning(made, tmp_path, forget):
    old = made.info.plugins[0].short_hash
    write_plugin(tmp_path / "code", SOURCE + "\n# a comment\n")
    result = invoke("evaluate", made.path)
    assert old in result.stderr
    assert "is not the one that the run run was trained with" in result.stderr.replace("\n", " ")
    forget()
    write_plugin(tmp_path / "code", SOURCE.replace("Conv2d(3, 8", "Conv2d(3, 6").replace("Linear(32", "Linear(24"))
    with refused("artifact", "The weights of the run run"):
        made.classifier()
    forget()
    write_plugin(tmp_path / "old")  # the recorded content, given by hand
    result = invoke("evaluate", made.path, "--plugin", "old/my_zoo.py")
    assert old not in result.stderr


def test_a_run_never_brings_its_own_code(made, tmp_path):
    write_plugin(made.path, "from pathlib import Path\nPath(__file__ + '.ran').touch()\n")
    for path in (str(made.path / "my_zoo.py"), "run/my_zoo.py"):
        made.info.plugins = [replace(made.info.plugins[0], path=path)]
        made.save()
        with refused("plugin-file-moved"):
            Run(made.path).classifier()
    assert not (made.path / "my_zoo.py.ran").exists()


def test_a_resumed_run_finds_its_file_or_takes_its_new_place(made, tmp_path, forget):
    made.info.status = "interrupted"
    made.save()
    (tmp_path / "new").mkdir()
    (tmp_path / "code" / "my_zoo.py").rename(tmp_path / "new" / "my_zoo.py")
    with refused("plugin-file-moved", made.info.plugins[0].short_hash):
        zoo.resume(made.path)
    invoke("train", "--resume", made.path, "--plugin", "new/my_zoo.py")
    again = Run(made.path)
    assert again.info.status == "finished"
    assert [file.path for file in again.info.plugins] == [str(tmp_path / "new" / "my_zoo.py")]
    assert again.recipe.plugins == (str(tmp_path / "new" / "my_zoo.py"),)


def test_a_recipe_file_brings_its_plugin_and_a_later_training_records_it_too(bars, tmp_path, monkeypatch, forget):
    path = write_plugin(tmp_path / "code")
    recipe = tmp_path / "code" / "mine.toml"
    recipe.write_text(f'backbone = "mine"\ndataset = "{bars}"\nplugins = ["my_zoo.py"]\nepochs = 1\nimage_size = 16\n')
    monkeypatch.chdir(tmp_path)
    invoke("train", "--recipe", recipe, "--output", tmp_path / "run")
    assert Run(tmp_path / "run").recipe.plugins == (str(path),)
    later = zoo.train("mine", bars, epochs=1, image_size=16, output=tmp_path / "later")
    assert [file.path for file in later.info.plugins] == [str(path)]
    forget()
    zoo.train("mine", bars, epochs=1, image_size=16, output=tmp_path / "third", plugins=["code/my_zoo.py"])


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_two_processes_know_the_file(bars, tmp_path):
    write_plugin(tmp_path)
    command = ["train", "mine", str(bars), *OPTIONS, "--plugin", "my_zoo.py", "--devices", "2", "--output", "run"]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "run")
    assert run.info.machine.processes == 2
    assert [file.name for file in run.info.plugins] == ["my_zoo.py"]


def test_what_only_this_process_knows_is_said_at_the_start(bars, tmp_path, capsys, forget):
    host = registry()
    host.add_file(write_plugin(tmp_path))
    own = host.backbone("mine").spec
    forget()
    zoo.register(replace(own, name="only-here"))
    folder = zoo.data.dataset_at(bars)
    zoo.register(DatasetSpec(name="only-here-too", load=folder.load))
    run = zoo.train("only-here", "only-here-too", epochs=1, image_size=16, output=tmp_path / "run", progress=True)
    said = " ".join(capsys.readouterr().err.split())
    for name in ("backbone 'only-here'", "dataset 'only-here-too'"):
        assert f"Only this process knows the {name}" in said
    assert "--plugin FILE" in said
    assert run.info.backbone_plugin == "this process"
    assert run.info.plugins == []
    forget()
    with refused("unknown-name", "only-here"):
        run.classifier()


def test_older_runs_open(trained):
    values = trained.info.facts()
    del values["plugins"]
    assert RunInfo.parse(json.dumps(values)).plugins == []


def test_the_example_of_the_page_is_a_plugin_file(tmp_path):
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    section = page.partition("## A plugin in one file")[2].partition("\n## ")[0]
    source = section.partition("```python\n")[2].partition("```")[0]
    registry().add_file(write_plugin(tmp_path, source))
    spec = registry().backbone("small").spec
    assert isinstance(spec, BackboneSpec)
    assert all(isinstance(stage, Stage) for stage in spec.stages(spec.build(3)))
    assert registry().dataset("dots").spec.num_classes == 2
