"""Run hooks: who is imported for them, and what a hook that fails ends. Trainings call them in tests/training."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zoo import facts
from zoo.cli import app
from zoo.registry import Registry, discovery
from zoo.registry.discovery import RUN_GROUP, discover
from zoo.registry.hook_groups import RUN_HOOKS
from zoo.registry.run_hooks import RunHooks, installed, status_of
from zoo.testing import ConformanceError, check_plugin

HEADER = "from zoo.hookspecs import hookimpl\nheard = []\n\n"
HEARS = """
@hookimpl
def zoo_epoch_ended(facts):
    heard.append(facts)
"""
FAILS = """
@hookimpl
def zoo_epoch_ended(facts):
    heard.append(facts)
    {}
"""
INSTALLED = discovery._installed
EPOCH = facts.EpochEnded(
    run=Path("/runs/one"), name="one", epoch=1, row={"epoch": 1, "val_loss": math.nan, "more": [1, 2]}, better=True
)
TOLD = {
    "zoo_run_started": facts.RunStarted(
        run=Path("/runs/one"),
        name="one",
        backbone="tiny",
        dataset="bars",
        classes=("bar", "line"),
        epochs=3,
        options={"epochs": 3},
        resumed=False,
    ),
    "zoo_epoch_ended": dataclasses.replace(EPOCH, row={"epoch": 1, "val_top1": 0.5}),
    "zoo_run_ended": facts.RunEnded(
        run=Path("/runs/one"),
        name="one",
        status="finished",
        error="",
        best_epoch=1,
        validation={"val_loss": 0.5, "val_top1": 0.5},
        metrics_split="test",
        metrics={"top1": 0.5},
        weights=None,
        training_seconds=1.0,
    ),
    "zoo_exported": facts.Exported(
        run=None, path=Path("/model.onnx"), weights=None, format="onnx", card={"metrics": {"top1": 0.5}}
    ),
}


class Site:
    """Installed distributions whose plugins are in the group of run hooks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, body: str, groups: tuple[str, ...] = (RUN_GROUP,)) -> None:
        (self.folder / f"hooks_{name}.py").write_text(HEADER + body)
        metadata = self.folder / f"{name}-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
        entries = "".join(f"[{group}]\n{name} = hooks_{name}\n" for group in groups)
        (metadata / "entry_points.txt").write_text(entries)

    def heard(self, name: str) -> list[facts.Facts]:
        return sys.modules[f"hooks_{name}"].heard


def statuses():
    host = Registry()
    return [status_of(host, plugin) for plugin in installed(host) if plugin.group == RUN_GROUP]


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "hooks"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def here(group, wanted):
        """Other plugins with run hooks may be installed beside these."""
        return [each for each in INSTALLED(group, wanted) if group != RUN_GROUP or each[0]._path.parent == folder]

    monkeypatch.setattr(discovery, "_installed", here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    yield Site(folder)
    for name in [name for name in sys.modules if name.startswith("hooks_")]:
        del sys.modules[name]


def test_every_plugin_hears_frozen_facts(site):
    site.install("one", HEARS)
    site.install("two", HEARS)
    said = []
    RunHooks(Registry(), said.append).call("zoo_epoch_ended", EPOCH)
    assert site.heard("one") == site.heard("two") == [EPOCH]
    assert said == []
    given = site.heard("one")[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.epoch = 2
    with pytest.raises(TypeError):
        given.row["epoch"] = 2
    assert given.row["more"] == (1, 2)
    assert json.loads(json.dumps(given.plain()))["run"] == "/runs/one"
    assert given.plain()["row"]["more"] == [1, 2]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("raise ValueError('no route')", "Its hook zoo_epoch_ended raised ValueError: no route."),
        ("raise SystemExit(3)", "raised SystemExit: 3."),
        ("facts.epoch = 2", "raised FrozenInstanceError"),
        ("facts.row['epoch'] = 2", "raised TypeError"),
        ("object.__setattr__(facts, 'epoch', 2)", "Its hook zoo_epoch_ended changed the facts that it got."),
    ],
)
def test_a_hook_that_fails_is_named_once_and_gets_no_more(site, does, said):
    site.install("bad", FAILS.format(does))
    site.install("good", HEARS)
    warnings = []
    hooks = RunHooks(Registry(), warnings.append)
    for _ in range(3):
        hooks.call("zoo_epoch_ended", EPOCH)
    (warning,) = warnings
    assert warning.startswith("Plugin 'bad' of bad 2.0: ")
    assert said in warning
    assert len(site.heard("bad")) == 1
    assert site.heard("good") == [EPOCH] * 3
    assert EPOCH.epoch == 1


def test_what_a_hook_prints_goes_to_stderr(site, capsys):
    site.install("loud", FAILS.format("print('hello')"))
    RunHooks(Registry(), print).call("zoo_epoch_ended", EPOCH)
    assert capsys.readouterr() == ("", "hello\n")


def test_only_the_plugins_of_the_group_are_imported(site):
    site.install("backbones", "@hookimpl\ndef zoo_backbones():\n    return []\n", ("zoo",))
    site.install("one", HEARS)
    assert RunHooks(Registry(), print)
    assert "hooks_one" in sys.modules
    assert "hooks_backbones" not in sys.modules


def test_without_plugins_there_is_nothing_to_call():
    assert not RunHooks(Registry(), print, discovered=())


def test_one_module_may_be_in_both_groups(site):
    site.install("both", HEARS + "@hookimpl\ndef zoo_backbones():\n    return []\n", ("zoo", RUN_GROUP))
    assert [status.state for status in Registry().plugins() if status.plugin.name == "both"] == ["loaded"]
    RunHooks(Registry(), print).call("zoo_epoch_ended", EPOCH)
    assert site.heard("both") == [EPOCH]


@pytest.mark.parametrize(
    ("body", "groups", "cause"),
    [
        (HEARS, ("zoo",), "Its hook zoo_epoch_ended is called only if pyproject.toml names the module in the group"),
        ("@hookimpl\ndef zoo_backbones():\n    return []\n", (RUN_GROUP,), "names a module without zoo_run_started"),
        ("@hookimpl\ndef zoo_epoch_end(facts):\n    pass\n", (RUN_GROUP,), "Did you mean zoo_epoch_ended?"),
        (
            "@hookimpl\ndef zoo_epoch_ended(row):\n    pass\n",
            (RUN_GROUP,),
            "an argument 'row': the only one that it may have is 'facts'.",
        ),
        ("raise SystemExit(1)", (RUN_GROUP,), "raised SystemExit: 1."),
    ],
)
def test_a_mistake_in_its_module_is_named(site, body, groups, cause):
    site.install("wrong", body, groups)
    if groups == (RUN_GROUP,):
        said = []
        assert not RunHooks(Registry(), said.append)
        assert cause in said[0] and "pip uninstall wrong" in said[0]
        found = statuses()
    else:
        found = Registry().plugins()
    (status,) = [each for each in found if each.plugin.name == "wrong"]
    assert status.state == "failed"
    assert cause in status.problems[0].cause


def test_a_disabled_plugin_hears_nothing(site, monkeypatch):
    site.install("one", HEARS)
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", "one")
    assert not RunHooks(Registry(), print)
    assert [status.state for status in statuses()] == ["disabled"]


def test_a_plugin_that_failed_before_is_left_out(site):
    site.install("bad", FAILS.format("raise ValueError"))
    silenced, said = set(), []
    for _ in range(2):
        RunHooks(Registry(), said.append, silenced=silenced).call("zoo_epoch_ended", EPOCH)
    assert len(said) == 1


def test_the_plugins_with_run_hooks_are_listed(site):
    site.install("one", HEARS)
    (status,) = statuses()
    assert (status.plugin.distribution, status.state) == ("one", "loaded")
    assert status.registers == {"run_hooks": ["zoo_epoch_ended"]}


def test_the_kit_looks_at_them(site):
    site.install("one", HEARS)
    assert "loads" in check_plugin("one").kept
    site.install("wrong", "@hookimpl\ndef zoo_epoch_end(facts):\n    pass\n")
    with pytest.raises(ConformanceError, match="Did you mean zoo_epoch_ended"):
        check_plugin("wrong")


def test_the_command_lists_them_and_why_one_fails(site, monkeypatch):
    monkeypatch.setattr(discovery, "_installed", INSTALLED)  # as the process that lists them has it
    site.install("one", HEARS)
    site.install("wrong", "raise SystemExit(1)")
    shown = CliRunner().invoke(app, ["plugins"]).stdout
    assert "run_hooks: zoo_epoch_ended" in shown
    assert "wrong:wrong: Importing hooks_wrong raised SystemExit: 1." in shown


def test_the_example_of_the_documentation_is_such_a_plugin(site, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.S) if "def zoo_run_" in block]
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, timeout: asked.append(json.loads(request.data)))
    site.install("doc", block)
    said = []
    hooks = RunHooks(Registry(), said.append)
    for hook, told in TOLD.items():
        hooks.call(hook, told)
    assert (len(asked), said) == (4, [])


def test_the_groups_are_told_apart(site):
    site.install("one", HEARS)
    assert [plugin.name for plugin in discover(group=RUN_GROUP)] == ["one"]
    assert "one" not in [plugin.name for plugin in discover()]
    given = [EntryPoint("host", "one", "zoo"), EntryPoint("told", "two", RUN_GROUP)]
    assert [plugin.name for plugin in discover(given)] == ["host"]
    assert [plugin.name for plugin in discover(given, RUN_GROUP)] == ["told"]
    assert set(RUN_HOOKS) == {"zoo_run_started", "zoo_epoch_ended", "zoo_run_ended", "zoo_exported"}
