"""The plugin host: finds plugins, loads them when they are needed, isolates those that fail, looks names up.

A built-in name, suffix or command loads the built-ins only. Third-party plugins load when a name is not a
built-in's, when it has a prefix (`timm/…`, `distribution:…`), or for a listing.
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
    """The registry of what is installed, one for the process; `Registry(...)` makes another."""
    return Registry()


def backbones() -> list[str]:
    """The names of all backbones, each of which `zoo.train` takes."""
    return [entry.name for entry in registry().backbones()]


def backbones_with_weights() -> list[str]:
    """The names of the backbones whose pretrained weights are installed with them: they need no download."""
    return [entry.name for entry in registry().backbones() if entry.spec.weights and entry.spec.weights.bundled]


def datasets() -> list[str]:
    """The names of all datasets, each of which `zoo.train` takes."""
    return [entry.name for entry in registry().datasets()]
