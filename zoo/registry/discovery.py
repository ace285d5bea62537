"""Finds the installed plugins, which are the entry points of the group `zoo`, without importing them."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint

from zoo.hookspecs import PROJECT
from zoo.registry.plugin_file import PluginFile

GROUP = PROJECT
BUILTIN_DISTRIBUTION = "visionzoo"
DISABLED_VARIABLE = "ZOO_DISABLED_PLUGINS"


@dataclass(frozen=True, eq=False)
class Plugin:
    """An entry point and the distribution that contains it.

    Attributes:
        entry_point: None where the distribution's list of entry points cannot be read.
        disabled: whether the environment variable ZOO_DISABLED_PLUGINS has its distribution or its name.
        given: whether this process registered it with `zoo.register`. No distribution contains it.
        file: a plugin file, whose name stands in the place of a distribution's. None for others.
    """

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None
    disabled: bool = False
    given: bool = False
    file: PluginFile | None = None

    @property
    def builtin(self) -> bool:
        return self.canonical_distribution == BUILTIN_DISTRIBUTION

    @property
    def canonical_distribution(self) -> str:
        return canonical(self.distribution)

    @property
    def key(self) -> str:
        return f"{self.distribution}:{self.name}"

    @classmethod
    def of_file(cls, file: PluginFile) -> Plugin:
        return cls(file.name, file.name, file.short_hash, None, file=file)


@dataclass(frozen=True)
class Problem:
    """A fault of a plugin: one sentence of cause, one of remedy."""

    plugin: Plugin
    cause: str

    @property
    def remedy(self) -> str:
        if self.plugin.builtin:
            return "Reinstall it with: pip install --force-reinstall visionzoo"
        if self.plugin.given:
            return "Fix it and call zoo.register again."
        if self.plugin.file:
            return f"Fix the file {self.plugin.file.path}."
        name = self.plugin.distribution
        return f"Remove it with: pip uninstall {name}, or disable it with: {DISABLED_VARIABLE}={name}"

    def __str__(self) -> str:
        plugin = self.plugin
        return f"Plugin '{plugin.name}' of {plugin.distribution} {plugin.version}: {self.cause} {self.remedy}"


def canonical(distribution: str) -> str:
    """The name of a distribution in the form in which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def discover(entry_points: Iterable[EntryPoint] | None = None) -> list[Plugin]:
    """The plugins: built-ins first, then by distribution. Of two copies, the first one counts.

    Args:
        entry_points: used instead of the installed ones.
    """
    disabled = {canonical(name.strip()) for name in os.environ.get(DISABLED_VARIABLE, "").split(",")}
    found = _installed() if entry_points is None else ((entry.dist, [entry]) for entry in entry_points)
    plugins: dict[tuple[str, str], Plugin] = {}
    for distribution, entries in found:
        name, version = _identity(distribution)
        named: list[tuple[str, EntryPoint | None]] = [(entry.name, entry) for entry in entries]
        for short, entry in named or [(name, None)]:
            off = not disabled.isdisjoint({canonical(name), canonical(short)})
            plugins.setdefault((canonical(name), short), Plugin(short, name, version, entry, off))
    return sorted(plugins.values(), key=lambda plugin: (not plugin.builtin, canonical(plugin.key)))


def _installed() -> Iterator[tuple[Distribution, list[EntryPoint]]]:
    """Distributions with entry points of the group; an empty list where those cannot be read.

    `importlib.metadata.entry_points` parses all files, and one malformed file of any package stops it.
    """
    for distribution in importlib.metadata.distributions():
        with suppress(Exception):
            if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            entries: list[EntryPoint] = []
            with suppress(Exception):
                entries = list(distribution.entry_points.select(group=GROUP))
            yield distribution, entries


def _identity(distribution: Distribution | None) -> tuple[str, str]:
    try:
        assert distribution is not None
        return distribution.metadata["Name"] or "unknown", distribution.metadata["Version"] or ""
    except Exception:
        return "unknown", ""
