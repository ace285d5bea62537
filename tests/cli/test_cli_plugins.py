"""`zoo plugins list`, `disable` and `enable`, with plugins that do to their process what they can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zoo.cli import app, plugin_survey
from zoo.registry import configuration, registry
from zoo.registry.discovery import discover
from zoo.specs import INTERFACE

from ..refusals import refused

LOGGER = """
from zoo.hookspecs import hookimpl
from zoo.specs import LoggerSpec


@hookimpl
def zoo_loggers():
    yield LoggerSpec(name=__name__, create=print)
"""
COMMAND = """
@hookimpl
def zoo_commands(app):
    app.command("{name}")(lambda: None)
"""
BAD = {
    "raises": ("1 / 0", "ZeroDivisionError"),
    "exits": ("raise SystemExit", "raised SystemExit"),
    "ends": ("import os; os._exit(0)", "called os._exit(0)"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "It ended the process with the signal SIGKILL."),
    "forks": ("import os; os.fork() or __import__('time').sleep(600); os.kill(os.getpid(), 9)", "signal SIGKILL"),
    "hangs": ("import threading; threading.Event().wait()", "It does not load within 2.5 seconds."),
    "future": ('ZOO_INTERFACE = "99.0"', "upgrade visionzoo"),
    "lacks": ("import no_such_package_at_all", "No module named 'no_such_package_at_all'"),
}
GOOD = {
    "prints": "print('words'); import os; os.write(1, b'raw words')\n",
    "sets-handlers": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n",
    "sets-pillow": "import PIL.Image; PIL.Image.MAX_IMAGE_PIXELS = None\n",
    "slow": "import time; time.sleep(1.05)\n",
    "heavy": "import matplotlib\n",
    "heavy-too": "import matplotlib\n",
    "says-interface": f'ZOO_INTERFACE = "{INTERFACE}"\n',
}


def install(folder: Path, distribution: str, body: str, *commands: str) -> None:
    module = f"plugin_{distribution}".replace("-", "_")
    (folder / f"{module}.py").write_text(body)
    metadata = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    declared = "\n".join(["[zoo.commands]", *(f"{name} = {module}" for name in commands)])
    (metadata / "entry_points.txt").write_text(f"[zoo]\n{distribution} = {module}\n{declared}\n")


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    for name, (body, _) in BAD.items():
        install(folder, name, body + LOGGER)
    for name, body in GOOD.items():
        install(folder, name, body + LOGGER)
    install(folder, "clashes", LOGGER + COMMAND.format(name="train"), "train")
    install(folder, "declares", LOGGER + COMMAND.format(name="there"), "there", "absent")
    install(folder, "undeclared", LOGGER + COMMAND.format(name="hidden"))
    return folder


def with_site(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))
    patch.syspath_prepend(folder)
    registry.cache_clear()


@pytest.fixture(scope="module")
def records(bad):
    """All of them at once."""
    with pytest.MonkeyPatch.context() as patch:
        with_site(patch, bad)
        patch.setattr(plugin_survey, "LONGEST_SECONDS", 2.5)
        found = plugin_survey.survey()
    registry.cache_clear()
    return {record["distribution"]: record for record in found}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plugin_is_listed_with_cause_and_ways_out(records, name):
    assert records[name]["state"] == "failed"
    (problem,) = records[name]["problems"]
    assert BAD[name][1] in problem["cause"]
    assert problem["remedy"] == (
        f"Remove it with: pip uninstall {name}, or disable it with: zoo plugins disable {name}"
    )


@pytest.mark.parametrize("name", GOOD)
def test_the_others_are_listed_as_they_are(records, name):
    assert records[name]["state"] == "loaded"
    assert records[name]["registers"]["loggers"] == [f"plugin_{name}".replace("-", "_")]
    assert records["visionzoo"]["state"] == "loaded"


def test_slow_and_heavy_ones_are_named(records):
    assert records["slow"]["import_seconds"] > 1
    (problem,) = records["slow"]["problems"]
    assert problem["cause"].startswith("Importing it takes 1.")
    assert "zoo plugins disable slow" in problem["remedy"]
    for name in ("heavy", "heavy-too"):
        assert records[name]["imports"] == ["matplotlib"]
        assert "Its module imports matplotlib at the top" in records[name]["problems"][0]["cause"]
    assert records["prints"]["problems"] == []


def test_the_interface_that_a_plugin_needs_is_listed(records):
    assert (records["says-interface"]["interface"], records["slow"]["interface"]) == (INTERFACE, "")
    (problem,) = records["future"]["problems"]
    assert "version 99.0 of the plugin interface" in problem["cause"]


def test_commands_with_another_name_or_without_a_declaration(records):
    (clash,) = records["clashes"]["problems"]
    assert clash["cause"] == "Its command 'train' already exists, so it runs as: zoo clashes:train"
    (hidden,) = records["undeclared"]["problems"]
    assert hidden["cause"] == "The help of zoo does not show its command 'hidden'."
    assert "zoo.commands" in hidden["remedy"]


def test_a_declared_command_that_is_not_registered(records):
    (absent,) = records["declares"]["problems"]
    assert absent["cause"].startswith("It declares the command 'absent' in the group zoo.commands")
    assert "app.command('absent')" in absent["remedy"]


def zoo(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout


def test_the_table_and_json_show_the_records(monkeypatch, records):
    monkeypatch.setattr(plugin_survey, "survey", lambda: [records["ends"], records["slow"]])
    text = zoo("plugins")
    assert [line.split()[:5] for line in text.splitlines()[1:3]] == [
        ["ends", "ends", "1.0", "failed"],
        ["slow", "slow", "1.0", "loaded", f"{records['slow']['import_seconds']:.2f}"],
    ]
    assert "\nends:ends: Importing plugin_ends called os._exit(0)" in text
    assert json.loads(zoo("plugins", "list", "--json")) == [records["ends"], records["slow"]]


def test_commands_that_need_no_plugin_work(bad):
    path = os.pathsep.join([str(bad), os.environ["PYTHONPATH"]])
    for arguments in (["--help"], ["info", "resnet18"], ["train", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "zoo", *arguments],
            env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert ("From the plugin clashes." in done.stdout) == (arguments == ["--help"])


@pytest.fixture
def one(tmp_path, monkeypatch):
    """One plugin, of a distribution with another name."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "Some_Thing", LOGGER)
    with_site(monkeypatch, folder)
    yield "some-thing"
    registry.cache_clear()


def states() -> dict[str, bool]:
    return {plugin.canonical_distribution: plugin.disabled for plugin in discover()}


def test_a_plugin_is_disabled_and_enabled(one):
    assert not states()[one]
    assert "zoo plugins enable some-thing" in zoo("plugins", "disable", "some.thing")
    zoo("plugins", "disable", "zoo-tiny")
    assert {name for name, disabled in states().items() if disabled} == {"zoo-tiny", one}
    zoo("plugins", "enable", "Some_Thing")
    assert not states()[one]
    assert states()["zoo-tiny"]
    zoo("plugins", "enable", "zoo-tiny")
    assert not configuration.place().exists()


def test_what_cannot_be_disabled_or_enabled(one, monkeypatch):
    with refused("unknown-name", "'some-thin'", "Did you mean Some_Thing"):
        zoo("plugins", "disable", "some-thin")
    with refused("built-in-plugin", "'torchvision'"):
        zoo("plugins", "disable", "torchvision")
    with refused("plugin-not-disabled", "No plugin is disabled."):
        zoo("plugins", "enable", one)
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", f"other, {one}")
    with refused("disabled-by-variable", "ZOO_DISABLED_PLUGINS"):
        zoo("plugins", "enable", one)


@pytest.mark.parametrize("content", [b"disabled = [", b"disabled = 'a'", b"\xff", b"disabled = [1]"])
def test_a_damaged_list_disables_nothing_and_is_not_overwritten(one, content):
    configuration.place().parent.mkdir(parents=True)
    configuration.place().write_bytes(content)
    assert not states()[one]
    with refused("damaged-configuration", configuration.place()):
        zoo("plugins", "disable", one)
    assert configuration.place().read_bytes() == content


def test_the_users_own_configuration_is_not_here(tmp_path):
    assert configuration.place().is_relative_to(tmp_path)


def test_a_survey_whose_process_does_not_start_ends(monkeypatch):
    monkeypatch.setattr(plugin_survey, "__name__", "no_such_module")
    with refused("plugin", "cannot be listed"):
        plugin_survey.survey()


def test_a_survey_whose_process_does_not_begin_in_time_says_so(monkeypatch):
    monkeypatch.setattr(plugin_survey, "LONGEST_SECONDS", 0.01)
    with refused("plugin", "does not begin within 0.01 seconds"):
        plugin_survey.survey()
