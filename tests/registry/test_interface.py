"""A plugin may say which interface it needs; what is going out of use is named for a release."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from zoo import specs
from zoo.errors import PluginError
from zoo.registry import registry
from zoo.registry.interface import deprecations, interface_fault
from zoo.specs import INTERFACE, LoggerSpec

MAJOR, MINOR = map(int, INTERFACE.split("."))
FITS = [None, INTERFACE, f"{MAJOR}.0"]
REFUSED = {
    f"{MAJOR + 1}.0": "upgrade visionzoo.",
    f"{MAJOR}.{MINOR + 1}": "upgrade visionzoo.",
    f"{MAJOR - 1}.9": "upgrade it.",
    "1": f"not a version such as '{INTERFACE}'.",
    1.0: f"not a version such as '{INTERFACE}'.",
}
SOURCE = """
from zoo.hookspecs import hookimpl
from zoo.specs import LoggerSpec

ZOO_INTERFACE = {needed!r}


@hookimpl
def zoo_loggers():
    yield LoggerSpec(name="mine", create=print, description="mine")
"""


@pytest.mark.parametrize("needed", FITS)
def test_an_interface_that_fits(needed):
    module = SimpleNamespace() if needed is None else SimpleNamespace(ZOO_INTERFACE=needed)
    assert interface_fault(module) is None


@pytest.mark.parametrize("needed", REFUSED)
def test_another_interface_is_refused(needed):
    assert interface_fault(SimpleNamespace(ZOO_INTERFACE=needed)).endswith(REFUSED[needed])


def test_such_a_plugin_is_left_out(tmp_path):
    path = tmp_path / "future.py"
    path.write_text(SOURCE.format(needed="9.0"))
    with pytest.raises(PluginError, match=rf"needs version 9\.0.*this visionzoo has {INTERFACE}"):
        registry().add_file(path)


def test_a_field_that_goes_is_named_and_works(monkeypatch, tmp_path):
    monkeypatch.setitem(specs.DEPRECATED, "LoggerSpec.description", "Use 'name'.")
    expected = "Its LoggerSpec 'mine' sets description, which the next interface will not have. Use 'name'."
    assert deprecations(LoggerSpec(name="mine", create=print, description="mine")) == [expected]
    assert deprecations(LoggerSpec(name="mine", create=print)) == []
    path = tmp_path / "old.py"
    path.write_text(SOURCE.format(needed=INTERFACE))
    registry().add_file(path)
    assert registry().logger("mine").spec.description == "mine"
    (status,) = [each for each in registry().plugins() if each.plugin.name == "old.py"]
    assert (status.state, [problem.cause for problem in status.problems]) == ("loaded", [expected])


def test_no_deprecated_field_is_of_the_past():
    for key in specs.DEPRECATED:
        spec, _, name = key.partition(".")
        assert name in getattr(specs, spec).__dataclass_fields__
