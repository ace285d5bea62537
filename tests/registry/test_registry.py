"""Names, prefixes and suffixes: who they belong to. Faults of plugins are in test_broken_plugins.py."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import sys
import types
from pathlib import Path

import pytest
import typer

from zoo import specs
from zoo.errors import PluginError, UnknownNameError, UsageError
from zoo.hookspecs import __dict__ as hookspecs
from zoo.registry import Registry
from zoo.registry.loading import ALL_HOOKS
from zoo.registry.validation import spec_fault

from ..refusals import refused

HEADER = """
from zoo.hookspecs import hookimpl
from zoo.specs import *

def backbone(name, **fields):
    return BackboneSpec(name=name, build=print, head="fc", stages=print, **fields)

def exporter(name, suffix):
    f = print
    return ExporterSpec(name=name, suffix=suffix, write=f, write_card=f, read_card=f, content_hash=f, load=f)
"""
COUNT = "from pathlib import Path; Path(__file__).with_suffix('.imported').touch()\n"


class Site:
    """A folder of installed distributions, on sys.path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed: list[str] = []

    def install(self, distribution: str, body: str, entry: str = "main", commands: tuple[str, ...] = ()) -> None:
        """A distribution with one plugin, whose hooks are `body`."""
        module = f"{self.folder.name}_{distribution}_{entry}".replace("-", "_")
        (self.folder / f"{module}.py").write_text(COUNT + HEADER + body)
        metadata = self.folder / f"{distribution.replace('-', '_')}-1.5.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        with (metadata / "entry_points.txt").open("a") as file:
            file.write(f"[zoo]\n{entry} = {module}\n" if file.tell() == 0 else f"{entry} = {module}\n")
            if commands:
                file.write("[zoo.commands]\n" + "".join(f"{name} = {module}\n" for name in commands))

    def imported(self, distribution: str) -> bool:
        return any(self.folder.glob(f"{self.folder.name}_{distribution}_*.imported"))

    def registry(self) -> Registry:
        found = importlib.metadata.distributions(path=[str(self.folder)])
        return Registry(entry for each in found for entry in each.entry_points)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / tmp_path.name.replace("-", "_")
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if name.startswith(folder.name):
            del sys.modules[name]


TINY = """
@hookimpl
def zoo_backbones():
    return [backbone("tiny")]
"""
TIMM = """
@hookimpl
def zoo_backbones():
    yield Provider(prefix="timm/", names=lambda: ["small", "large"],
                   get=lambda name: backbone(name) if name in ("small", "large", "secret") else None)
"""


def test_a_built_in_name_loads_no_third_party(site):
    site.install("visionzoo", TINY)
    site.install("other", TINY)
    entry = site.registry().backbone("tiny")
    assert (entry.name, entry.distribution, entry.version, entry.builtin) == (
        "tiny",
        "visionzoo",
        "1.5",
        True,
    )
    assert entry.spec.name == "tiny"
    assert not site.imported("other")


def test_a_third_party_never_shadows_a_built_in(site):
    site.install("visionzoo", TINY)
    site.install("other", TINY)
    registry = site.registry()
    assert [entry.name for entry in registry.backbones()] == ["other:tiny", "tiny"]
    assert registry.backbone("tiny").builtin
    assert registry.backbone("visionzoo:tiny").builtin
    assert registry.backbone("other:tiny").distribution == "other"
    assert registry.problems == []


def test_two_third_parties_with_one_name_stay_reachable_in_full(site):
    site.install("a-one", TINY)
    site.install("b", TINY)
    registry = site.registry()
    with refused("ambiguous-name", "backbone 'tiny'", "a-one:tiny (plugin 'main')", "b:tiny", kind=UsageError):
        registry.backbone("tiny")
    assert registry.backbone("A_One:tiny").distribution == "a-one"
    assert registry.backbone("b:tiny").name == "b:tiny"
    assert [entry.name for entry in registry.backbones()] == ["a-one:tiny", "b:tiny"]


def test_a_name_in_full_loads_only_its_distribution(site):
    site.install("a", TINY)
    site.install("b", TINY)
    assert site.registry().backbone("b:tiny").distribution == "b"
    assert not site.imported("a")


def test_a_third_party_name_is_found_on_a_miss(site):
    site.install("visionzoo", "@hookimpl\ndef zoo_backbones(): return []")
    site.install("other", TINY)
    entry = site.registry().backbone("tiny")
    assert (entry.name, entry.distribution, entry.builtin) == ("tiny", "other", False)


def test_names_are_case_sensitive_and_unknown_ones_suggest_near_ones(site):
    site.install("visionzoo", TINY)
    site.install("other", TIMM)
    with refused("unknown-name", "Did you mean tiny?", kind=UnknownNameError):
        site.registry().backbone("Tiny")
    with refused("unknown-name", "backbone", "'smal'", "timm/small", kind=UnknownNameError):
        site.registry().backbone("smal")
    with refused("unknown-name", "dataset", "'tiny'", kind=UnknownNameError):
        site.registry().dataset("tiny")


def test_a_provider_is_asked_behind_its_prefix(site):
    site.install("other", TIMM)
    registry = site.registry()
    assert [(entry.name, entry.provided) for entry in registry.backbones()] == [
        ("timm/small", True),
        ("timm/large", True),
    ]
    assert registry.backbone("timm/secret").spec.name == "timm/secret"
    assert registry.backbone("other:timm/small").name == "other:timm/small"
    assert registry.backbones()[0].spec.name == "timm/small"
    with refused("unknown-name", "timm/small", kind=UnknownNameError):
        registry.backbone("timm/smal")


def test_a_listing_asks_no_provider_for_a_spec(site):
    site.install("p", "@hookimpl\ndef zoo_datasets(): yield Provider(prefix='p/', names=lambda: ['x'], get=exit)")
    assert [entry.name for entry in site.registry().datasets()] == ["p/x"]


@pytest.mark.parametrize(
    ("get", "facts"),
    [
        ("exit", ("'p/x'", "SystemExit: x.")),
        ("lambda name: 1", ("'p/x'", "an int", "a BackboneSpec")),
        ("lambda name: backbone('y')", ("'p/x'", "'y'")),
        ("lambda name: backbone('x', min_image_size=0)", ("'x'", "min_image_size=0")),
    ],
)
def test_a_provider_that_fails_is_a_plugin_error(site, get, facts):
    site.install("p", f"@hookimpl\ndef zoo_backbones(): yield Provider(prefix='p/', names=lambda: ['x'], get={get})")
    with refused("plugin", *facts, "pip uninstall p", kind=PluginError):
        site.registry().backbone("p/x")


def test_a_provider_that_lists_a_name_without_a_spec_is_a_plugin_error(site):
    site.install(
        "p", "@hookimpl\ndef zoo_backbones(): yield Provider(prefix='p/', names=lambda: ['x'], get=lambda _: None)"
    )
    (entry,) = site.registry().backbones()
    with refused("provider-without-spec", "'p/'", "'p/x'", "pip uninstall p", kind=PluginError):
        _ = entry.spec


def test_a_provider_that_cannot_list_is_a_problem_and_no_failure(site):
    site.install("p", "@hookimpl\ndef zoo_backbones(): yield Provider(prefix='p/', names=lambda: 1/0, get=backbone)")
    registry = site.registry()
    assert registry.backbones() == []
    assert [problem.cause for problem in registry.problems] == [
        "Listing 'p/' raised ZeroDivisionError: division by zero."
    ]
    assert registry.backbone("p/x").spec.name == "p/x"


def test_two_plugins_of_one_distribution_differ(site):
    site.install("other", TINY, entry="first")
    site.install("other", TINY, entry="second")
    registry = site.registry()
    assert [entry.plugin for entry in registry.backbones()] == ["first"]
    assert [problem.cause for problem in registry.problems] == [
        "Its backbones include 'tiny', which plugin 'first' also registers."
    ]


EXPORT = "@hookimpl\ndef zoo_exporters():\n"


def test_the_longest_suffix_of_the_built_ins_wins(site):
    site.install("visionzoo", EXPORT + "    return [exporter('pt', '.pt'), exporter('packed', '.packed.pt')]")
    site.install("other", EXPORT + "    return [exporter('mine', '.pt')]")
    registry = site.registry()
    assert registry.exporter_for("a/model.pt").name == "pt"
    assert registry.exporter_for(Path("MODEL.Packed.PT")).name == "packed"
    assert not site.imported("other")
    assert registry.exporter("mine").distribution == "other"


def test_an_unknown_suffix_names_the_known_ones(site):
    site.install("visionzoo", EXPORT + "    return [exporter('pt', '.pt')]")
    site.install("other", EXPORT + "    return [exporter('mine', '.mine')]")
    with refused("unknown-suffix", "'x.gif'", ".mine or .pt", kind=UsageError):
        site.registry().exporter_for("x.gif")
    assert site.registry().exporter_for("x.mine").distribution == "other"


def test_one_suffix_of_two_third_parties_is_an_error(site):
    site.install("a", EXPORT + "    return [exporter('one', '.mine')]")
    site.install("b", EXPORT + "    return [exporter('two', '.mine')]")
    with refused("ambiguous-suffix", "'.mine'", "a:one", "b:two", "zoo plugins disable a", kind=UsageError):
        site.registry().exporter_for("x.mine")


def test_named_finds_every_kind(site):
    site.install("visionzoo", TINY)
    site.install("other", "@hookimpl\ndef zoo_loggers(): yield LoggerSpec(name='wire', create=print)")
    registry = site.registry()
    assert [(entry.kind, entry.name) for entry in registry.named("tiny")] == [("backbone", "tiny")]
    assert not site.imported("other")
    assert [entry.kind for entry in registry.named("wire")] == ["logger"]
    with refused("unknown-name", "Did you mean wire", kind=UnknownNameError):
        registry.named("wier")


@pytest.mark.parametrize("disabled", ["A-One", "a_one,nothing", " main2 "])
def test_a_disabled_plugin_is_not_imported(site, monkeypatch, disabled):
    site.install("a-one", TINY, entry="main2")
    monkeypatch.setenv("ZOO_DISABLED_PLUGINS", disabled)
    registry = site.registry()
    assert [status.state for status in registry.plugins()] == ["disabled"]
    assert not site.imported("a_one")
    with refused("unknown-name", "not loaded: main2", kind=UnknownNameError):
        registry.backbone("tiny")


def _commands(*names: str) -> str:
    lines = [f"    app.command('{name}')(lambda: print('{name} runs'))" for name in names]
    return "@hookimpl\ndef zoo_commands(app):\n" + "\n".join(lines)


def _names(app: typer.Typer) -> list[str | None]:
    return [command.name for command in app.registered_commands]


@pytest.fixture
def app():
    app = typer.Typer()
    app.command("train")(lambda: None)
    app.command("list")(lambda: None)
    return app


@pytest.mark.parametrize(
    ("argv", "loads"),
    [
        (None, True),
        (["hello"], True),
        ([], False),
        (["--help"], False),
        (["-h", "train"], False),
        (["serve"], False),
        (["train", "--help"], False),
        (["list"], False),
        (["--version"], False),
    ],
)
def test_third_parties_commands_are_added_when_asked_for(site, app, argv, loads):
    site.install("visionzoo", _commands("serve"))
    site.install("other", _commands("hello"))
    site.registry().add_commands(app, argv)
    assert _names(app) == ["train", "list", "serve", *(["hello"] if loads else [])]
    assert site.imported("other") == loads


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_the_help_shows_declared_commands_and_imports_nothing(site, app, argv):
    site.install("a", _commands("hello"), commands=("hello", "train"))
    site.install("b", _commands("undeclared"))
    registry = site.registry()
    registry.add_commands(app, argv)
    assert _names(app) == ["train", "list", "hello", "a:train"]
    assert app.registered_commands[2].help == "From the plugin a."
    assert not site.imported("a")
    assert not site.imported("b")


def test_a_declared_command_loads_its_plugin_alone(site, app):
    site.install("a", _commands("hello"), commands=("hello",))
    site.install("b", _commands("undeclared"))
    site.registry().add_commands(app, ["hello"])
    assert _names(app) == ["train", "list", "hello"]
    assert site.imported("a")
    assert not site.imported("b")


def test_a_command_that_is_declared_in_vain_is_looked_for_everywhere(site, app):
    site.install("a", _commands("other"), commands=("hello",))
    site.install("b", _commands("hello"))
    site.registry().add_commands(app, ["hello"])
    assert "hello" in _names(app)


def test_two_plugins_that_declare_one_command(site, app):
    for name in ("a", "b"):
        site.install(name, _commands("hello"), commands=("hello",))
    registry = site.registry()
    registry.add_commands(app, ["--help"])
    assert _names(app)[2:] == ["a:hello", "b:hello"]
    app.registered_commands = app.registered_commands[:2]
    site.registry().add_commands(app, ["b:hello"])
    assert _names(app)[2:] == ["a:hello", "b:hello"]


def test_a_third_party_command_replaces_none(site, app):
    site.install("visionzoo", _commands("serve"))
    site.install("a", _commands("train", "serve", "both"))
    site.install("b", _commands("both"))
    registry = site.registry()
    registry.add_commands(app)
    expected = ["train", "list", "serve", "a:train", "a:serve", "a:both", "b:both"]
    assert _names(app) == expected
    assert [problem.cause for problem in registry.problems] == [
        f"Its command '{name}' already exists, so it runs as: zoo {full}"
        for name, full in [("train", "a:train"), ("serve", "a:serve"), ("both", "a:both"), ("both", "b:both")]
    ]
    registry.add_commands(app)
    assert _names(app) == expected


def test_a_group_is_a_command_too(site, app):
    body = "import typer\ngroup = typer.Typer()\ngroup.command('a')(lambda: None)\n"
    site.install("other", body + "@hookimpl\ndef zoo_commands(app): app.add_typer(group, name='list')")
    registry = site.registry()
    registry.add_commands(app)
    assert [group.name for group in app.registered_groups] == ["other:list"]
    assert len(registry.problems) == 1


def test_every_field_of_every_spec_is_checked():
    thing = object()
    weights = specs.WeightsSpec(name="W", load=print, image_size=8)
    exporter = dict.fromkeys(("write", "write_card", "read_card", "content_hash", "load"), print)
    sound = (
        specs.DatasetSpec(name="sound", load=print),
        specs.BackboneSpec(name="sound", build=print, head="fc", stages=print, weights=weights),
        specs.ExporterSpec(name="sound", suffix=".s", **exporter),
        specs.LoggerSpec(name="sound", create=print),
    )
    assert list(map(spec_fault, sound)) == [None] * len(sound)
    for spec in sound:
        for field in dataclasses.fields(spec):
            expected = "the name" if field.name == "name" else f"has {field.name}={thing!r}. It should be "
            assert expected in spec_fault(dataclasses.replace(spec, **{field.name: thing}))
    for field in dataclasses.fields(weights):
        changed = dataclasses.replace(sound[1], weights=dataclasses.replace(weights, **{field.name: thing}))
        assert f"that has {field.name}={thing!r}. It should be " in spec_fault(changed)


def test_every_hook_is_known_and_documented():
    hooks = {name for name in hookspecs if name.startswith("zoo_")}
    assert hooks == set(ALL_HOOKS)
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    assert [hook for hook in sorted(hooks) if f"def {hook}(" not in page] == []


def test_the_examples_of_the_documentation_are_a_plugin(site, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    mine = types.SimpleNamespace(write=print, write_card=print, read_card=print, content_hash=print, load=print)
    monkeypatch.setitem(sys.modules, "visionzoo_shapes", types.SimpleNamespace(mine=mine))
    found = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    blocks = [block for block in found if "def zoo_run_" not in block]  # these have a group of their own
    for index, block in enumerate(blocks):
        site.install(f"doc{index}", block)
    states = [(status.state, status.problems) for status in site.registry().plugins()]
    assert states == [("loaded", ())] * 8
