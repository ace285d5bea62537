"""Each rule of plugins names the plugin that breaks it."""

from __future__ import annotations

import os

import pytest

from zoo.errors import UnknownNameError
from zoo.registry import registry
from zoo.testing import ConformanceError, check_plugin
from zoo.testing.checks import plugin_results
from zoo.testing.importing import imported
from zoo.testing.plugins import RULES, find_plugins

LOGGER = """
from zoo.hookspecs import hookimpl
from zoo.specs import LoggerSpec


class Plain:
    def __init__(self, folder):
        pass

    def log(self, row):
        pass

    def close(self):
        pass


@hookimpl
def zoo_loggers():
    yield LoggerSpec(name={name!r}, create=Plain)
"""


def plugin(before="", name="plain") -> str:
    return before + LOGGER.replace("{name!r}", repr(name))


BROKEN = {
    "an import that raises": ("import absent_package\n", "imports"),
    "an import that exits": ("import sys; sys.exit(3)\n", "imports"),
    "an import that ends the process": ("import os; os._exit(3)\n", "imports"),
    "an interface of the future": ("ZOO_INTERFACE = '9.0'\n", "interface"),
    "a slow import": ("import time; time.sleep(1.1)\n", "light"),
    "torch at the top": ("import torch\n", "light"),
    "a print": ("print('hello')\n", "quiet"),
    "a write to descriptor 1": ("import os; os.write(1, b'hello')\n", "quiet"),
    "a handler of SIGINT": ("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n", "keeps-process"),
    "Pillow's limit": ("import PIL.Image; PIL.Image.MAX_IMAGE_PIXELS = None\n", "keeps-process"),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs a package with one module, as pip does."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(source, commands=""):
        (tmp_path / "zoo_other.py").write_text(source)
        metadata = tmp_path / "zoo_other-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-other\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[zoo]\nother = zoo_other\n{commands}")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
        registry.cache_clear()

    yield install
    import sys

    sys.modules.pop("zoo_other", None)
    registry.cache_clear()


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_import_is_named(case, installed):
    source, rule = BROKEN[case]
    installed(plugin(source))
    results = list(plugin_results("zoo-other"))
    assert next(result.rule for result in results if result.state == "broken") == rule


def test_an_import_that_never_ends_is_ended(installed):
    installed(plugin("import threading; threading.Event().wait()\n"))
    (found,) = [status for status in registry()._plugins if status.distribution == "zoo-other"]
    assert imported(found, seconds=1).fault == "It did not end within 1 seconds."


def test_files_in_the_working_folder_replace_no_module(installed, tmp_path, monkeypatch):
    installed(plugin())
    here = tmp_path / "here"
    here.mkdir()
    (here / "tempfile.py").write_text("1 / 0")
    monkeypatch.chdir(here)
    (found,) = [each for each in registry().installed() if each.distribution == "zoo-other"]
    assert imported(found).fault == ""


def test_an_import_may_print_bytes_that_are_no_text(installed):
    installed(plugin("import os; os.write(2, bytes([255]))\n"))
    (found,) = [each for each in registry().installed() if each.distribution == "zoo-other"]
    assert imported(found).fault == ""


def test_a_faulty_hook_is_named(installed):
    installed(plugin(name="a b"))
    with pytest.raises(ConformanceError, match=r"(?s)'loads'.*has the name 'a b'"):
        check_plugin("zoo-other")


def test_a_built_in_name_is_named(installed):
    installed(plugin(name="csv"))
    with pytest.raises(ConformanceError, match=r"(?s)'names'.*zoo-other:csv"):
        check_plugin("zoo-other")


def test_a_declared_command_that_is_not_registered_is_named(installed):
    command = "\n@hookimpl\ndef zoo_commands(app):\n    app.command('there')(lambda: None)\n"
    installed(plugin() + command, "[zoo.commands]\nthere = zoo_other\nabsent = zoo_other\n")
    with pytest.raises(ConformanceError, match=r"(?s)'commands'.*the command 'absent'") as caught:
        check_plugin("zoo-other")
    assert "'there'" not in str(caught.value)


def test_each_rule_is_tried_here():
    assert {rule for _, rule in BROKEN.values()} | {"loads", "names", "commands"} == {rule.name for rule in RULES}


def test_a_sound_plugin_keeps_all_rules(installed):
    installed(plugin())
    report = check_plugin("zoo-other")
    assert {result.subject for result in report.results} == {"the plugin 'zoo-other:other'", "the logger 'plain'"}
    assert all(result.state == "kept" for result in report.results)


def test_a_plugin_file_is_checked(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(plugin(name="mine"))
    assert {result.subject for result in check_plugin(str(path)).results} == {
        "the plugin 'mine.py:mine.py'",
        "the logger 'mine'",
    }


@pytest.mark.parametrize(
    ("source", "rule"),
    [(plugin("1 / 0\n"), "imports"), (plugin(name="a b"), "loads"), (plugin("ZOO_INTERFACE = '9.0'\n"), "interface")],
)
def test_a_faulty_plugin_file_breaks_a_rule(tmp_path, source, rule):
    path = tmp_path / "faulty.py"
    path.write_text(source)
    with pytest.raises(ConformanceError) as caught:
        check_plugin(str(path))
    assert caught.value.report.broken[0].rule == rule


@pytest.mark.parametrize("before", [None, "/elsewhere/other.py"])
@pytest.mark.parametrize("name", ["mine", "a b"])
def test_a_plugin_file_that_is_checked_stays_unknown(tmp_path, monkeypatch, before, name):
    monkeypatch.delenv("ZOO_PLUGIN_FILES", raising=False)
    if before:
        monkeypatch.setenv("ZOO_PLUGIN_FILES", before)
    path = tmp_path / "mine.py"
    path.write_text(plugin(name=name))
    list(plugin_results(str(path)))
    assert os.environ.get("ZOO_PLUGIN_FILES") == before
    assert registry().added_file("mine.py") is None


def test_an_unknown_plugin_is_refused():
    with pytest.raises(UnknownNameError):
        find_plugins("absent")
