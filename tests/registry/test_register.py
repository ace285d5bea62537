"""`zoo.register`: what an entry point does for an installation, for one process."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

import zoo
from zoo.artifacts.card import PluginVersion
from zoo.errors import UsageError
from zoo.registry import Registry, backbones_with_weights, registry
from zoo.specs import BackboneSpec, DatasetSpec, Provider, WeightsSpec

from ..refusals import refused

MINE = BackboneSpec(name="mine", build=print, head="fc", stages=print, description="first")


@pytest.fixture
def host(monkeypatch) -> Registry:
    """A registry of the installed plugins, in place of that of the process."""
    own = Registry()
    monkeypatch.setattr("zoo.registry.registry", lambda: own)
    return own


def test_a_registered_spec_is_found_and_listed(host):
    zoo.register(MINE)
    entry = host.backbone("mine")
    assert entry.spec is MINE
    assert (entry.name, entry.plugin, entry.distribution, entry.version, entry.builtin) == (
        *("mine", "zoo.register", "this process", "", False),
    )
    assert host.backbone("this process:mine").spec is MINE
    assert "mine" in zoo.backbones()
    assert [each.spec for each in host.named("mine")] == [MINE]
    (status,) = [each for each in host.plugins() if each.plugin.given]
    assert (status.state, status.registers["backbones"], status.problems) == ("loaded", ["mine"], ())


def test_a_hint_about_installed_weights_asks_no_provider(host, monkeypatch):
    weights = WeightsSpec(name="W", load=dict, image_size=32, bundled=True)
    zoo.register(replace(MINE, weights=weights))
    zoo.register(Provider(prefix="many/", names=lambda: ["one"], get=lambda name: replace(MINE, name=name)))
    monkeypatch.setattr("zoo.registry.lookup._ask", lambda *given: pytest.fail("a provider was asked"))
    assert "mine" in backbones_with_weights()


def test_a_second_spec_of_a_name_replaces_the_first_and_keeps_the_others(host):
    zoo.register(MINE)
    zoo.register(replace(MINE, name="other"))
    zoo.register(replace(MINE, description="second"))
    assert host.backbone("mine").spec.description == "second"
    assert host.backbone("other").spec.description == "first"
    assert len([each for each in host.plugins() if each.plugin.given]) == 1


def test_a_built_in_is_not_replaced(host):
    with refused("built-in-name", "backbone", "'resnet18'", kind=UsageError):
        zoo.register(replace(MINE, name="resnet18"))
    with refused("built-in-name", "dataset", "'mnist'", kind=UsageError):
        zoo.register(DatasetSpec(name="mnist", load=print))
    zoo.register(DatasetSpec(name="resnet18", load=print))  # a name of another kind
    assert host.backbone("resnet18").builtin


def test_a_name_of_an_installed_plugin_is_ambiguous(host):
    zoo.register(replace(MINE, name="tiny"))
    with refused("ambiguous-name", "zoo-tiny:tiny", "this process:tiny"):
        host.backbone("tiny")
    assert host.backbone("zoo-tiny:tiny").distribution == "zoo-tiny"
    assert host.backbone("this process:tiny").spec.description == "first"


@pytest.mark.parametrize(
    ("item", "code", "fact"),
    [
        ("mine", "no-plugin-file", "mine' is not a Python file"),
        (3, "not-a-spec", "an int"),
        (None, "not-a-spec", "None"),
        (lambda: MINE, "not-a-spec", "Call it first"),
        (replace(MINE, name="two words"), "faulty-spec", "'two words'"),
        (replace(MINE, build=None), "faulty-spec", "build=None"),
        (replace(MINE, min_image_size=0), "faulty-spec", "min_image_size=0"),
        (Provider(prefix="no-slash", names=list, get=print), "faulty-spec", "'no-slash'"),
        (Provider(prefix="p/", names=list, get=print), "faulty-spec", "'p/' lists no name"),
        (Provider(prefix="p/", names=lambda: ["a"], get=lambda _: 1 / 0), "faulty-spec", "ZeroDivisionError"),
        (Provider(prefix="p/", names=lambda: ["a"], get=lambda _: 3), "faulty-spec", "'p/' lists no name"),
    ],
)
def test_what_is_not_valid_is_refused(host, item, code, fact):
    before = [each.name for each in host.backbones()]
    with refused(code, fact, kind=UsageError):
        zoo.register(item)
    assert [each.name for each in host.backbones()] == before


def test_a_provider_makes_the_names_with_its_prefix(host):
    zoo.register(Provider(prefix="hub/", names=lambda: ["a"], get=lambda name: replace(MINE, name=f"hub/{name}")))
    assert host.backbone("hub/b").spec.name == "hub/b"
    assert "hub/a" in zoo.backbones()


def test_names_can_be_looked_up_while_others_are_registered(host):
    zoo.register(MINE)
    failed: list[Exception] = []

    def register() -> None:
        try:
            for index in range(200):
                zoo.register(replace(MINE, name=f"n{threading.get_ident()}-{index}"))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=register) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert "mine" in zoo.backbones()
    assert failed == []
    assert len([name for name in zoo.backbones() if name.startswith("n") and "-" in name]) == 400


def test_a_run_and_its_card_name_where_the_network_came_from():
    assert PluginVersion.of("this process") == PluginVersion(distribution="this process")
    assert PluginVersion.of("zoo-tiny 1.0") == PluginVersion(distribution="zoo-tiny", version="1.0")
    assert PluginVersion.of("zoo-tiny") == PluginVersion(distribution="zoo-tiny")
    assert registry().backbone("tiny").distribution == "zoo-tiny"
