"""Finds the installed plugins, which are the entry points of the group `zoo`, without importing them.

Those of the group `zoo.run_hooks` have the hooks that trainings and exports call: `zoo.registry.run_hooks`. The names
in the group `zoo.commands` are the commands that a distribution adds: the help shows them without an import.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint

from zoo.errors import PluginError
from zoo.hookspecs import PROJECT
from zoo.registry.authors import source_folder
from zoo.registry.configuration import disabled_names
from zoo.registry.plugin_file import VARIABLE, PluginFile

GROUP = PROJECT
COMMANDS_GROUP = f"{PROJECT}.commands"
RUN_GROUP = f"{PROJECT}.run_hooks"
BUILTIN_DISTRIBUTION = "visionzoo"
DISABLED_VARIABLE = "ZOO_DISABLED_PLUGINS"


@dataclass(frozen=True, eq=False)
class Plugin:
    """An entry point and the distribution that contains it.

    Attributes:
        entry_point: None where the distribution's list of entry points cannot be read.
        disabled: whether its distribution or its name is in the environment variable ZOO_DISABLED_PLUGINS, or in the
            user's configuration.
        commands: names of the commands that its distribution declares.
        given: whether this process registered it with `zoo.register`. No distribution contains it.
        file: a plugin file, whose name stands in the place of a distribution's. None for others.
        group: of its entry point.
    """

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint | None
    disabled: bool = False
    commands: tuple[str, ...] = ()
    given: bool = False
    file: PluginFile | None = None
    group: str = GROUP

    @property
    def builtin(self) -> bool:
        return self.canonical_distribution == BUILTIN_DISTRIBUTION

    @cached_property
    def canonical_distribution(self) -> str:
        return canonical(self.distribution)

    @property
    def key(self) -> str:
        return f"{self.distribution}:{self.name}" + ("@run_hooks" if self.group == RUN_GROUP else "")

    @classmethod
    def of_file(cls, file: PluginFile) -> Plugin:
        return cls(file.name, file.name, file.short_hash, None, file=file)


@dataclass(frozen=True)
class Problem:
    """A fault of a plugin: one sentence of cause, one of remedy.

    Attributes:
        advice: a remedy for this fault alone. Without it, the remedy is to repair the plugin or to leave it out.
    """

    plugin: Plugin
    cause: str
    advice: str = ""

    @property
    def remedy(self) -> str:
        if self.advice:
            return self.advice
        if self.plugin.builtin:
            return "Reinstall it with: pip install --force-reinstall visionzoo"
        if self.plugin.given:
            return "Fix it and call zoo.register again."
        if self.plugin.file:
            path = self.plugin.file.path
            shown = f"zoo plugins check {path} shows what is wrong"
            return f"Correct the file ({shown}), or leave it out of --plugin and {VARIABLE}."
        name = self.plugin.distribution
        if folder := source_folder(self.plugin.canonical_distribution):
            shown = f"zoo plugins check {name} shows what is wrong"
            return f"Correct it in {folder} ({shown}), or disable it with: zoo plugins disable {name}"
        return f"Remove it with: pip uninstall {name}, or disable it with: zoo plugins disable {name}"

    @property
    def named(self) -> str:
        """The cause with the plugin in front."""
        plugin = self.plugin
        return f"Plugin '{plugin.name}' of {plugin.distribution} {plugin.version}: {self.cause}"

    def __str__(self) -> str:
        return f"{self.named} {self.remedy}"


def canonical(distribution: str) -> str:
    """The name of a distribution in the form in which PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def discover(entry_points: Iterable[EntryPoint] | None = None, group: str = GROUP) -> list[Plugin]:
    """The plugins of a group: built-ins first, then by distribution. Of two copies, the first one counts.

    Args:
        entry_points: used instead of the installed ones.
    """
    disabled = {canonical(name) for name in (*disabled_by_variable(), *_disabled_by_user())}
    wanted = (group, COMMANDS_GROUP) if group == GROUP else (group,)
    given = _by_distribution(each for each in entry_points or () if each.group in wanted)
    found = _installed(group, wanted) if entry_points is None else given
    plugins: dict[tuple[str, str], Plugin] = {}
    for distribution, entries in found:
        name, version = _identity(distribution)
        named: list[tuple[str, EntryPoint | None]] = [(each.name, each) for each in entries if each.group == group]
        commands = tuple(sorted(each.name for each in entries if each.group == COMMANDS_GROUP))
        for short, entry in named or [(name, None)]:
            off = not disabled.isdisjoint({canonical(name), canonical(short)})
            plugins.setdefault(
                (canonical(name), short), Plugin(short, name, version, entry, off, commands, group=group)
            )
    return sorted(plugins.values(), key=lambda plugin: (not plugin.builtin, canonical(plugin.key)))


def disabled_by_variable() -> list[str]:
    """The names in the environment variable ZOO_DISABLED_PLUGINS."""
    return [name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",") if name.strip()]


def _disabled_by_user() -> list[str]:
    with suppress(PluginError):  # the command line says it
        return disabled_names()
    return []


def _installed(group: str, wanted: Collection[str]) -> Iterator[tuple[Distribution, list[EntryPoint]]]:
    """Distributions with entry points of the groups; an empty list where those cannot be read.

    `importlib.metadata.entry_points` parses all files, and one malformed file of any package stops it.
    """
    for distribution in importlib.metadata.distributions():
        with suppress(Exception):
            if f"[{group}]" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            entries: list[EntryPoint] = []
            with suppress(Exception):
                entries = [each for each in distribution.entry_points if each.group in wanted]
            yield distribution, entries


def _by_distribution(entry_points: Iterable[EntryPoint]) -> list[tuple[Distribution | None, list[EntryPoint]]]:
    found: dict[int, tuple[Distribution | None, list[EntryPoint]]] = {}
    for entry in entry_points:
        found.setdefault(id(entry.dist), (entry.dist, []))[1].append(entry)
    return list(found.values())


def _identity(distribution: Distribution | None) -> tuple[str, str]:
    try:
        assert distribution is not None
        return distribution.metadata["Name"] or "unknown", distribution.metadata["Version"] or ""
    except Exception:
        return "unknown", ""
