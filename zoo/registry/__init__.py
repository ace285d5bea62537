"""Finds plugins, loads them when they are needed, isolates plugins that fail, and looks names up.

The name, suffix or command of a built-in loads the built-ins only. Third-party plugins load in three cases: no built-in
has the name, the name has a prefix (`timm/…`, `distribution:…`), or a command lists all names.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from zoo.registry.core import Registry
from zoo.registry.discovery import Plugin, Problem
from zoo.registry.lookup import Registered, Status
from zoo.specs import BackboneSpec, DatasetSpec, Provider, Spec

__all__ = [
    "Plugin",
    "Problem",
    "Registered",
    "Registry",
    "Status",
    "backbones",
    "backbones_with_weights",
    "datasets",
    "register",
    "registry",
]


@cache
def registry() -> Registry:
    """The registry of installed plugins, one per process. `Registry(...)` makes another one."""
    return Registry()


def register(spec: Spec | Provider[BackboneSpec] | Provider[DatasetSpec] | Path | str) -> None:
    """Makes a backbone, a dataset, an exporter or a logger known to this process, as an installed plugin would.

    A second one with the same name takes the place of the first. Other processes do not find it: they need a plugin
    file or an installed plugin (docs/plugins.md).

    Args:
        spec: a description of `zoo.specs`, or the path of a plugin file with several.

    Raises:
        UsageError: it is not valid, or a built-in has its name.
        PluginError: the file cannot be loaded.
    """
    if isinstance(spec, Path | str):
        registry().add_file(spec)
    else:
        registry().register(spec)


def backbones() -> list[str]:
    """The names of all backbones, for `zoo.train`."""
    return [entry.name for entry in registry().backbones()]


def backbones_with_weights() -> list[str]:
    """The names of the backbones whose pretrained weights are installed, so that they need no download.

    Those of providers are left out: it would take seconds to make thousands of specs for a hint.
    """
    own = [entry for entry in registry().backbones() if not entry.provided]
    return [entry.name for entry in own if entry.spec.weights and entry.spec.weights.bundled]


def datasets() -> list[str]:
    """The names of all datasets, for `zoo.train`."""
    return [entry.name for entry in registry().datasets()]
