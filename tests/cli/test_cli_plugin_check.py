"""`zoo plugins check`, with plugins that do to its process what they can."""

from __future__ import annotations

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from zoo.cli import app, plugin_check
from zoo.registry import registry
from zoo.registry.discovery import discover

from ..plugin_files import write_plugin
from ..refusals import refused
from .test_cli_plugins import LOGGER, install, with_site

HOOK = """
from zoo.hookspecs import hookimpl
from zoo.specs import DatasetSpec


def load(request):
    {body}


@hookimpl
def zoo_datasets():
    yield DatasetSpec(name="bad", load=load)
"""
SOUND = LOGGER.replace("create=print", "create=Plain").replace(
    "@hookimpl",
    """
class Plain:
    def __init__(self, folder):
        print("words")

    def log(self, row):
        print("words")

    def close(self):
        pass


@hookimpl""",
)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    with_site(monkeypatch, folder)
    yield folder
    registry.cache_clear()


def checked(*arguments: str) -> tuple[int, list[dict]]:
    result = CliRunner().invoke(app, ["plugins", "check", *arguments, "--json"])
    if result.exception and not isinstance(result.exception, SystemExit | typer.Exit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)


def broken(report: dict) -> dict[str, str]:
    return {each["rule"]: each["cause"] for each in report["results"] if each["state"] == "broken"}


def test_each_line_is_there_as_soon_as_it_is_found(site, tmp_path, monkeypatch):
    """Also in a pipe or a file, which Python writes in blocks of 8 KiB."""
    install(site, "sound", SOUND)
    file, seen = tmp_path / "said", []

    def results(*_):
        for rule in ("imports", "interface"):
            yield {"subject": "the plugin", "rule": rule, "state": "kept", "cause": "", "remedy": ""}
            seen.append(file.read_text().split()[-1])

    monkeypatch.setattr(plugin_check, "results_of", results)
    with file.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        plugin_check.check("sound", formats="")
    assert seen == ["imports", "interface"]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import os; os._exit(0)", "It ended the process with exit code 0."),
        ("import os; os.kill(os.getpid(), 9)", "It ended the process with the signal SIGKILL."),
        ("import time; print('words'); time.sleep(600)", "It does not end within 12 seconds."),
    ],
)
def test_a_part_that_ends_or_blocks_the_process_breaks_its_rule(site, body, cause):
    install(site, "bad", HOOK.format(body=body))
    install(site, "worse", "import os; os.kill(os.getpid(), 9)")  # not asked for
    code, (report,) = checked("bad", "--time-limit", "12")
    assert (code, report["plugin"], report["passed"]) == (1, "bad", False)
    assert broken(report) == {"loads": cause}
    last = report["results"][-1]
    assert (last["subject"], last["rule"]) == ("the dataset 'bad'", "loads")
    assert last["remedy"]
    assert {"imports", "light", "quiet"} <= {each["rule"] for each in report["results"] if each["state"] == "kept"}


def test_all_third_party_plugins_are_checked_each_on_its_own(site, monkeypatch):
    install(site, "bad", "import os; os._exit(0)")
    install(site, "sound", SOUND)
    install(site, "out", "1 / 0")
    others = {plugin.distribution for plugin in discover() if not plugin.builtin} - {"bad", "sound"}
    assert "out" in others
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", ",".join(others))
    registry.cache_clear()
    code, reports = checked()
    assert code == 1
    assert {report["plugin"]: list(broken(report)) for report in reports} == {"bad": ["imports"], "sound": []}
    result = CliRunner().invoke(app, ["plugins", "check", "sound"])
    assert result.exit_code == 0
    assert "\nthe logger 'plugin_sound'\n  kept     valid\n" in result.stdout
    assert result.stdout.endswith("Rules: 14 kept, 0 skipped, 0 broken.\n")


def test_a_plugin_with_run_hooks_alone_is_checked(site, monkeypatch):
    install(site, "listens", "from zoo.hookspecs import hookimpl\n\n\n@hookimpl\ndef zoo_exported(facts):\n    pass\n")
    (site / "listens-1.0.dist-info" / "entry_points.txt").write_text("[zoo.run_hooks]\nlistens = plugin_listens\n")
    code, (report,) = checked("listens")
    assert (code, report["passed"]) == (0, True)
    assert {each["subject"] for each in report["results"]} == {"the plugin 'listens:listens@run_hooks'"}
    others = {plugin.distribution for plugin in discover() if not plugin.builtin}
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", ",".join(others))
    registry.cache_clear()
    assert [report["plugin"] for report in checked()[1]] == ["listens"]


def test_a_plugin_file_is_checked(tmp_path):
    path = write_plugin(tmp_path, "1 / 0")
    code, (report,) = checked(str(path))
    assert code == 1
    assert "division by zero" in broken(report)["imports"]


def test_a_disabled_plugin_is_named(site, monkeypatch):
    install(site, "sound", SOUND)
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", "sound")
    registry.cache_clear()
    _, (report,) = checked("sound")
    assert broken(report) == {"loads": "It is disabled."}


def test_what_does_not_exist_is_refused(tmp_path):
    with refused("unknown-name", "'zoo-tin'", "zoo-tiny"):
        checked("zoo-tin")
    with refused("missing-plugin-file"):
        checked(str(tmp_path / "absent.py"))
    with refused("unknown-name", "'onx'", "onnx"):
        checked("zoo-tiny", "--formats", "onx")
    with refused("time-limit", "0"):
        checked("zoo-tiny", "--time-limit", "0")
