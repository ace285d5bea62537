"""Finds plugins, loads them when they are needed, isolates plugins that fail, and looks names up.

The name, suffix or command of a built-in loads the built-ins only. Third-party plugins load in three cases: no built-in
has the name, the name has a prefix (`timm/…`, `distribution:…`), or a command lists all names.
"""

from __future__ import annotations

from functools import cache

from zoo.registry.core import Registry
from zoo.registry.discovery import Plugin, Problem
from zoo.registry.lookup import Registered, Status

__all__ = [
    "Plugin",
    "Problem",
    "Registered",
    "Registry",
    "Status",
    "backbones",
    "backbones_with_weights",
    "datasets",
    "registry",
]


@cache
def registry() -> Registry:
    """The registry of installed plugins, one per process. `Registry(...)` makes another one."""
    return Registry()


def backbones() -> list[str]:
    """The names of all backbones, for `zoo.train`."""
    return [entry.name for entry in registry().backbones()]


def backbones_with_weights() -> list[str]:
    """The names of the backbones whose pretrained weights are installed, so that they need no download."""
    return [entry.name for entry in registry().backbones() if entry.spec.weights and entry.spec.weights.bundled]


def datasets() -> list[str]:
    """The names of all datasets, for `zoo.train`."""
    return [entry.name for entry in registry().datasets()]
