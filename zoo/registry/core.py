"""Names, prefixes and suffixes, and who they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UnknownNameError, UsageError
from zoo.registry import commands, lookup
from zoo.registry.discovery import DISABLED_VARIABLE, Plugin, Problem, discover
from zoo.registry.loading import (
    BACKBONE,
    COMMANDS,
    DATASET,
    EXPORTER,
    HOOKS,
    KINDS,
    LOGGER,
    Contents,
    FaultyPluginError,
    Kind,
    Loader,
    S,
)
from zoo.registry.lookup import Registered, Status
from zoo.specs import BackboneSpec, DatasetSpec, ExporterSpec, LoggerSpec

if TYPE_CHECKING:
    from typer import Typer


class Registry:
    """All that plugins bring, by name; a plugin loads when it is first needed.

    Args:
        entry_points: taken in place of those that are installed.

    Attributes:
        problems: what the plugins that were loaded so far got wrong.
    """

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None) -> None:
        self._plugins = discover(entry_points)
        self._builtins = [plugin for plugin in self._plugins if plugin.builtin]
        self._third_parties = [plugin for plugin in self._plugins if not plugin.builtin]
        self._contents: dict[Plugin, Contents | None] = {}
        self._loader = Loader()
        self.problems: list[Problem] = []

    def backbone(self, name: str) -> Registered[BackboneSpec]:
        """Raises `UnknownNameError`, `UsageError` where two plugins have the name, `PluginError`."""
        return self._find(BACKBONE, name)

    def dataset(self, name: str) -> Registered[DatasetSpec]:
        """Raises `UnknownNameError`, `UsageError` where two plugins have the name, `PluginError`."""
        return self._find(DATASET, name)

    def exporter(self, name: str) -> Registered[ExporterSpec]:
        """Raises `UnknownNameError`, `UsageError` where two plugins have the name."""
        return self._find(EXPORTER, name)

    def logger(self, name: str) -> Registered[LoggerSpec]:
        """Raises `UnknownNameError`, `UsageError` where two plugins have the name."""
        return self._find(LOGGER, name)

    def backbones(self) -> list[Registered[BackboneSpec]]:
        return self._all(BACKBONE)

    def datasets(self) -> list[Registered[DatasetSpec]]:
        return self._all(DATASET)

    def exporters(self) -> list[Registered[ExporterSpec]]:
        return self._all(EXPORTER)

    def loggers(self) -> list[Registered[LoggerSpec]]:
        return self._all(LOGGER)

    def exporter_for(self, path: str | Path) -> Registered[ExporterSpec]:
        """The exporter whose suffix the name of `path` ends with; the file need not exist.

        Raises `UsageError` where there is none, or where two plugins have it.
        """
        file_name = Path(path).name.lower()
        for plugins in (self._builtins, self._third_parties):
            ends = [e for e in self._entries(EXPORTER, plugins) if file_name.endswith(e.spec.suffix)]
            longest = max((len(entry.spec.suffix) for entry in ends), default=0)
            hits = [entry for entry in ends if len(entry.spec.suffix) == longest]
            if len(hits) > 1:
                raise UsageError(
                    f"The suffix '{hits[0].spec.suffix}' belongs to {lookup.listed(hits)}.",
                    f"Leave one out with: {DISABLED_VARIABLE}={hits[0].distribution}",
                )
            if hits:
                return hits[0]
        suffixes = sorted({entry.spec.suffix for entry in self.exporters()})
        raise UsageError(
            f"The name of '{path}' does not end like that of an artifact.",
            f"It must end in {' or '.join(suffixes) or 'the suffix of an exporter'}.{self._absent()}",
        )

    def named(self, name: str) -> list[Registered[Any]]:
        """Whatever is called `name`, of all kinds; those of the built-ins if there are any.

        Raises `UnknownNameError`, `PluginError`.
        """
        for plugins in (self._builtins, self._third_parties):
            if hits := [hit for kind in KINDS for hit in self._match(kind, name, plugins)]:
                return hits
        known = [entry.name for kind in KINDS for entry in self._all(kind)]
        listing = f"List what there is with: zoo list{self._absent()}"
        raise UnknownNameError("backbone, dataset or exporter", name, known, listing)

    def plugins(self) -> list[Status]:
        """Every plugin, loaded."""
        loaded = [(plugin, self._load(plugin)) for plugin in self._plugins]
        return [
            Status(
                plugin,
                "disabled" if plugin.disabled else "loaded" if contents else "failed",
                contents.summary() if contents else {},
                tuple(problem for problem in self.problems if problem.plugin is plugin),
            )
            for plugin, contents in loaded
        ]

    def add_commands(self, app: Typer, argv: list[str]) -> None:
        """Adds the commands of plugins: third parties' only where `argv` asks for what the built-ins lack."""
        commands.add(app, self._commands(self._builtins), self._note)
        if commands.needs_third_parties(argv, commands.existing(app)):
            commands.add(app, self._commands(self._third_parties), self._note)

    def _commands(self, plugins: Iterable[Plugin]) -> list[tuple[Plugin, commands.Commands]]:
        loaded = ((plugin, self._load(plugin, COMMANDS)) for plugin in plugins)
        return [(plugin, contents.commands) for plugin, contents in loaded if contents]

    def _load(self, plugin: Plugin, hook: str | None = None) -> Contents | None:
        """What a plugin registers through a hook, or through all; None where it is disabled or has failed.

        A third party's hooks are called all at once, so that it works or does not; a built-in's as they are
        needed, so that `zoo --help` asks nobody for a dataset.
        """
        try:
            if plugin not in self._contents:
                self._contents[plugin] = None  # a plugin that asks the registry while it loads is not there yet
                self._contents[plugin] = None if plugin.disabled else self._loader.load(plugin)
            if contents := self._contents[plugin]:
                self._loader.call(contents, [hook] if hook and plugin.builtin else HOOKS)
                self._refuse_duplicates(plugin, contents)
        except FaultyPluginError as fault:
            self._contents[plugin] = None
            self._note(plugin, str(fault))
        return self._contents[plugin]

    def _refuse_duplicates(self, plugin: Plugin, contents: Contents) -> None:
        """Two plugins of one distribution must differ: `distribution:name` has to be one thing."""
        for sibling in self._plugins:
            known = self._contents.get(sibling)
            if known and known is not contents and sibling.canonical_distribution == plugin.canonical_distribution:
                for group, names in contents.summary().items():
                    if shared := set(names).intersection(known.summary()[group]):
                        raise FaultyPluginError(
                            f"Its {group} include '{min(shared)}', which '{sibling.name}' registers too."
                        )

    def _note(self, plugin: Plugin, cause: str) -> None:
        problem = Problem(plugin, cause)
        if problem not in self.problems:
            self.problems.append(problem)

    def _entries(self, kind: Kind[S], plugins: Iterable[Plugin]) -> Iterator[Registered[S]]:
        """All of a kind, names of providers included; third parties' names with their distribution."""
        for plugin in plugins:
            if contents := self._load(plugin, kind.hook):
                yield from lookup.entries(kind, plugin, contents, self._note)

    def _match(self, kind: Kind[S], name: str, plugins: Iterable[Plugin]) -> list[Registered[S]]:
        """Whatever `name` means to `plugins`: one, or none, or several that are to be told apart."""
        distribution, short = lookup.split(name)
        owners = [plugin for plugin in plugins if distribution in (None, plugin.canonical_distribution)]
        loaded = ((plugin, self._load(plugin, kind.hook)) for plugin in owners)
        found = (lookup.get(kind, plugin, contents, short) for plugin, contents in loaded if contents)
        hits = [hit for hit in found if hit]
        return [replace(hits[0], name=name)] if len(hits) == 1 and not distribution else hits

    def _find(self, kind: Kind[S], name: str) -> Registered[S]:
        hits = self._match(kind, name, self._builtins) or self._match(kind, name, self._third_parties)
        if len(hits) > 1:
            raise UsageError(
                f"'{name}' is the name of {lookup.listed(hits)}.",
                "Write the one you mean in full, with its colon.",
            )
        if not hits:
            listing = f"List them with: zoo list {kind.word}s{self._absent()}"
            raise UnknownNameError(kind.word, name, [entry.name for entry in self._all(kind)], listing)
        return hits[0]

    def _all(self, kind: Kind[S]) -> list[Registered[S]]:
        builtins = list(self._entries(kind, self._builtins))
        others = list(self._entries(kind, self._third_parties))
        shorts = Counter([entry.name for entry in builtins] + [lookup.split(entry.name)[1] for entry in others])
        for entry in others:
            short = lookup.split(entry.name)[1]
            builtins.append(replace(entry, name=short) if shorts[short] == 1 else entry)
        return sorted(builtins, key=lambda entry: entry.name)

    def _absent(self) -> str:
        """Of plugins that might have had the name, had they been loaded."""
        for plugin in self._third_parties:
            self._load(plugin)
        absent = [plugin.name for plugin in self._plugins if self._load(plugin) is None]
        return f" (not loaded: {', '.join(absent)}; see: zoo plugins)" if absent else ""
