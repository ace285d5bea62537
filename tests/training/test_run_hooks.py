"""What the run hooks of plugins are told by trainings and exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import zoo
from zoo.exporting import run_hooks
from zoo.exporting.pipeline import export
from zoo.runs.run import Run
from zoo.training.events import Listener

from ..plugin_files import write_plugin

OPTIONS = {"image_size": 16, "batch_size": 16, "augment": "none", "device": "cpu", "strategy": "full"}
HEARS = """
import json
from pathlib import Path

from zoo.hookspecs import hookimpl

FILE = Path(__file__).with_suffix(".jsonl")


def note(hook, facts):
    with FILE.open("a") as file:
        file.write(json.dumps([hook, facts.plain()]) + "\\n")


@hookimpl
def zoo_run_started(facts):
    note("started", facts)
    FILE.with_suffix(".json").write_bytes((facts.run / "run.json").read_bytes())


@hookimpl
def zoo_epoch_ended(facts):
    note("epoch", facts)
    "FAILS"


@hookimpl
def zoo_run_ended(facts):
    note("ended", facts)


@hookimpl
def zoo_exported(facts):
    note("exported", facts)
    "FAILS"
"""

pytestmark = pytest.mark.usefixtures("no_plots")


@pytest.fixture
def hears(tmp_path):
    """Makes a plugin file known; the result returns what its hooks heard."""

    def make(fails: str = "pass"):
        path = write_plugin(tmp_path / "plugin", HEARS.replace('"FAILS"', fails), "hears.py")
        zoo.register(path)
        return lambda: [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]

    return make


class Interrupts(Listener):
    """Ends a training in its second epoch."""

    def on_epoch_start(self, start):
        if start.epoch == 2:
            raise KeyboardInterrupt


def test_a_training_tells_its_beginning_its_epochs_and_its_end(bars, tmp_path, hears):
    heard = hears()
    run = zoo.train("tiny", bars, output=tmp_path / "run", epochs=2, **OPTIONS)
    started, one, two, ended = heard()
    then = json.loads((tmp_path / "plugin" / "hears.json").read_text())
    assert (then["status"], then["classes"]) == ("running", ["bar", "line", "slope"])
    assert started[0] == "started"
    assert started[1] | {"options": None} == {
        "run": str(tmp_path / "run"),
        "name": "run",
        "backbone": "tiny",
        "dataset": run.info.dataset.name,
        "classes": ["bar", "line", "slope"],
        "epochs": 2,
        "options": None,
        "resumed": False,
    }
    assert started[1]["options"] == json.loads(json.dumps(run.recipe.options()))
    assert [one[0], two[0], one[1]["epoch"], two[1]["epoch"]] == ["epoch", "epoch", 1, 2]
    assert [float(row["val_loss"]) for row in run.rows()] == [each[1]["row"]["val_loss"] for each in (one, two)]
    assert ended[0] == "ended"
    assert (ended[1]["status"], ended[1]["error"], ended[1]["name"]) == ("finished", "", "run")
    assert ended[1]["metrics"] == run.info.metrics
    assert ended[1]["metrics_split"] == "test"
    assert ended[1]["validation"] == run.info.validation
    assert ended[1]["best_epoch"] == run.info.best_epoch
    assert ended[1]["weights"] == str(tmp_path / "run" / "best.safetensors")


def test_an_interrupted_training_ends_and_a_resumed_one_begins(bars, tmp_path, hears):
    heard = hears()
    with pytest.raises(KeyboardInterrupt):
        zoo.train("tiny", bars, output=tmp_path / "run", epochs=2, listeners=[Interrupts()], **OPTIONS)
    zoo.resume(tmp_path / "run")
    assert [(hook, facts.get("resumed"), facts.get("status")) for hook, facts in heard()] == [
        ("started", False, None),
        ("epoch", None, None),
        ("ended", None, "interrupted"),
        ("started", True, None),
        ("epoch", None, None),
        ("ended", None, "finished"),
    ]


def test_a_training_that_fails_says_why(bars, tmp_path, hears, monkeypatch):
    heard = hears()
    monkeypatch.setattr("zoo.training.loop.Trainer.validate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        zoo.train("tiny", bars, output=tmp_path / "run", epochs=2, **OPTIONS)
    (_, started), (_, ended) = heard()
    assert started["name"] == "run"
    assert (ended["status"], ended["error"]) == ("failed", "ZeroDivisionError: division by zero")
    assert (ended["best_epoch"], ended["metrics"], ended["weights"]) == (0, {}, None)


@pytest.mark.parametrize("fails", ["raise SystemExit(1)", "object.__setattr__(facts, 'name', 'other')"])
def test_a_hook_that_fails_ends_no_training(bars, tmp_path, hears, fails, capsys):
    heard = hears(fails)
    run = zoo.train("tiny", bars, output=tmp_path / "run", epochs=3, **OPTIONS)
    assert run.info.status == "finished"
    assert [hook for hook, _ in heard()] == ["started", "epoch"]
    said = capsys.readouterr().err
    (mine,) = [line for line in said.splitlines() if "Plugin 'hears.py'" in line]  # others may be installed
    assert mine.endswith("Its run hooks are not called any more.")


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_of_several_processes_the_first_one_calls_them(bars, tmp_path):
    path = write_plugin(tmp_path / "plugin", HEARS, "hears.py")
    options = ("--image-size", "16", "--batch-size", "16", "--epochs", "1", "--devices", "2", "--augment", "none")
    command = ["train", "tiny", str(bars), *options, "--plugin", str(path), "--output", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-m", "zoo", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "run").info.machine.processes == 2
    heard = [json.loads(line)[0] for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert heard == ["started", "epoch", "ended"]


def test_an_export_tells_its_file(trained, place, hears):
    heard = hears()
    artifact = export(trained, "torchscript", place / "model.pt", examples=1)  # which no hook is told
    ((hook, facts),) = heard()
    assert hook == "exported"
    assert facts | {"card": None} == {
        "run": str(trained.path.absolute()),
        "path": str(place / "model.pt"),
        "weights": None,
        "format": "torchscript",
        "card": None,
    }
    assert len(artifact.card.examples) == 1
    assert facts["card"] == json.loads(artifact.card.model_dump_json(exclude={"examples"}))
    assert "examples" not in facts["card"]


def test_a_hook_that_fails_ends_no_export_and_is_named_once(trained, place, hears, capsys, monkeypatch):
    monkeypatch.setattr(run_hooks, "_silenced", set())
    heard = hears("raise OSError('registry is away')")
    for name in ("one", "two"):
        assert export(trained, "torchscript", place / f"{name}.pt").path.exists()
    assert len(heard()) == 1
    assert capsys.readouterr().err.count("OSError: registry is away") == 1


def test_a_training_with_built_in_names_imports_no_plugin_without_run_hooks(bars, tmp_path):
    """Fifty installed plugins, one of them with a run hook."""
    site = tmp_path / "site"
    for number in range(50):
        name = f"plug{number}"
        group, hook = ("zoo.run_hooks", "zoo_run_ended(facts)") if number == 7 else ("zoo", "zoo_backbones()")
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}\n")
        (site / f"{name}.py").write_text(
            f"from zoo.hookspecs import hookimpl\n\n\n@hookimpl\ndef {hook}:\n    return []\n"
        )
    code = (
        "import sys, zoo\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        f"zoo.train('squeezenet1_1', {str(bars)!r}, output={str(tmp_path / 'run')!r}, epochs=1, image_size=32,\n"
        "    weights='none', device='cpu', limit=6, batch_size=4)\n"
        "print(sorted(name for name in sys.modules if name.startswith('plug') and name[4:].isdigit()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['plug7']\n"
    assert Run(tmp_path / "run").info.status == "finished"
