"""Names, prefixes and suffixes, and the plugins that own them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import PluginError, UnknownNameError, UsageError
from zoo.registry import commands, given, lookup
from zoo.registry.discovery import Plugin, Problem, discover
from zoo.registry.loading import (
    BACKBONE,
    COMMANDS,
    DATASET,
    EXPORTER,
    HOOKS,
    KINDS,
    LOGGER,
    PUBLISHER,
    AnyProvider,
    Contents,
    FaultyPluginError,
    Kind,
    Loader,
    S,
)
from zoo.registry.lookup import Registered, Status
from zoo.registry.plugin_file import PluginFile, announce, announced_files, find_file
from zoo.specs import BackboneSpec, DatasetSpec, ExporterSpec, LoggerSpec, Provider, PublisherSpec, Spec

if TYPE_CHECKING:
    from typer import Typer

SLOW_SECONDS = 3.0  # of an import; one of torch takes less


class Registry:
    """Everything that plugins register, by name. A plugin loads when it is first needed.

    Args:
        entry_points: used instead of the installed ones.

    Attributes:
        problems: the faults of the plugins that were loaded so far.
    """

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None) -> None:
        self._plugins = [*discover(entry_points), *map(Plugin.of_file, announced_files())]
        self._builtins = [plugin for plugin in self._plugins if plugin.builtin]
        self._third_parties = [plugin for plugin in self._plugins if not plugin.builtin]
        self._contents: dict[Plugin, Contents | None] = {}
        self._loader = Loader()
        self._lock = threading.RLock()  # of what a process adds itself: a plugin file may do so too
        self.problems: list[Problem] = []

    def register(self, spec: Spec | AnyProvider, *, origin: str = given.THIS_PROCESS) -> None:
        """Registers a spec or a provider for this process, as an installed plugin would.

        A second one with the same name and origin takes the place of the first: a cell of a notebook may run again.

        Args:
            origin: what stands in the place of a distribution's name.

        Raises:
            UsageError: it is not valid, or a built-in has its name.
        """
        kind = given.kind_of(spec)
        name = spec.prefix if isinstance(spec, Provider) else spec.name
        if self._is_builtin(kind, name):
            raise UsageError(
                f"A built-in {kind.word} has the name '{name}'.",
                "Choose another name: a built-in is never replaced.",
                code="built-in-name",
            )
        with self._lock:
            earlier = next((each for each in self._plugins if each.given and each.distribution == origin), None)
            known = self._contents[earlier] if earlier else None
            plugin = earlier or Plugin(given.REGISTER, origin, "", None, given=True)
            self._put(plugin, given.with_item(known or Contents(None, set()), kind, spec), earlier)

    def add_file(self, path: Path | str) -> PluginFile:
        """Loads a plugin file for this process and those that it starts. An earlier one of its name is replaced.

        Raises:
            UsageError: `path` is not a Python file that can be read.
            PluginError: it cannot be loaded, or breaks the contract of `zoo.hookspecs`.
        """
        file = find_file(path)
        with self._lock:
            earlier = self._plugin_of_file(file.name)
            if earlier and earlier.file == file and self._load(earlier):
                return file
            plugin = Plugin.of_file(file)
            try:
                contents = self._loader.load(plugin)
                self._loader.call(contents, HOOKS)
            except FaultyPluginError as fault:
                what = f"{str(fault)[0].lower()}{str(fault)[1:]}"
                cause = f"The plugin file '{file.path}' cannot be used: {what}"
                raise PluginError(cause, "Fix the file and try again.", code="faulty-plugin-file") from fault
            self._put(plugin, contents, earlier)
            announce(each.file for each in self._plugins if each.file)
        return file

    def added_file(self, name: str) -> PluginFile | None:
        """The plugin file with this name, if this process has added one."""
        plugin = self._plugin_of_file(name)
        return plugin.file if plugin else None

    def _plugin_of_file(self, name: str) -> Plugin | None:
        return next((each for each in self._plugins if each.file and each.file.name == name), None)

    def _put(self, plugin: Plugin, contents: Contents, earlier: Plugin | None) -> None:
        """Adds a plugin, in place of an earlier one. Other threads may go through the old lists."""
        self._contents[plugin] = contents
        self._plugins = [*(each for each in self._plugins if each is not earlier), plugin]
        self._third_parties = [each for each in self._plugins if not each.builtin]

    def _is_builtin(self, kind: Kind[Any], name: str) -> bool:
        loaded = [contents for plugin in self._builtins if (contents := self._load(plugin, kind.hook))]
        return any(name in {*contents.specs[kind.word], *contents.providers[kind.word]} for contents in loaded)

    def backbone(self, name: str) -> Registered[BackboneSpec]:
        """The backbone with this name. Raises `UnknownNameError`, `PluginError`, or `UsageError` if it is ambiguous."""
        return self._find(BACKBONE, name)

    def dataset(self, name: str) -> Registered[DatasetSpec]:
        """The dataset with this name. Raises as `backbone`."""
        return self._find(DATASET, name)

    def exporter(self, name: str) -> Registered[ExporterSpec]:
        """The exporter with this name. Raises `UnknownNameError`, or `UsageError` if it is ambiguous."""
        return self._find(EXPORTER, name)

    def logger(self, name: str) -> Registered[LoggerSpec]:
        """The logger with this name. Raises `UnknownNameError`, or `UsageError` if it is ambiguous."""
        return self._find(LOGGER, name)

    def publisher(self, name: str) -> Registered[PublisherSpec]:
        """The publisher with this name. Raises `UnknownNameError`, or `UsageError` if it is ambiguous."""
        return self._find(PUBLISHER, name)

    def backbones(self) -> list[Registered[BackboneSpec]]:
        return self._all(BACKBONE)

    def datasets(self) -> list[Registered[DatasetSpec]]:
        return self._all(DATASET)

    def exporters(self) -> list[Registered[ExporterSpec]]:
        return self._all(EXPORTER)

    def loggers(self) -> list[Registered[LoggerSpec]]:
        return self._all(LOGGER)

    def publishers(self) -> list[Registered[PublisherSpec]]:
        return self._all(PUBLISHER)

    def exporter_for(self, path: str | Path) -> Registered[ExporterSpec]:
        """The exporter whose suffix `path` ends with. The file may be missing.

        Raises `UsageError` where no exporter or several exporters have the suffix.
        """
        file_name = Path(path).name.lower()
        for plugins in (self._builtins, self._third_parties):
            if hit := lookup.with_suffix(self._entries(EXPORTER, plugins), file_name):
                return hit
        suffixes = sorted({entry.spec.suffix for entry in self.exporters()})
        raise UsageError(
            f"The file name '{path}' does not have the suffix of an export format.",
            f"It must end in {' or '.join(suffixes) or 'the suffix of an exporter'}.{self._absent()}",
            code="unknown-suffix",
        )

    def named(self, name: str) -> list[Registered[Any]]:
        """Everything with this name, of all kinds. If a built-in has it, only built-ins.

        Raises `UnknownNameError`, `PluginError`.
        """
        for plugins in (self._builtins, self._third_parties):
            if hits := [hit for kind in KINDS for hit in self._match(kind, name, plugins)]:
                return hits
        known = [entry.name for kind in KINDS for entry in self._all(kind)]
        listing = f"List all names with: zoo list{self._absent()}"
        raise UnknownNameError("backbone, dataset or exporter", name, known, listing)

    def installed(self) -> list[Plugin]:
        """All plugins, without loading them."""
        return list(self._plugins)

    def plugins(self) -> list[Status]:
        """Loads every plugin and returns its status."""
        return [self.status(plugin) for plugin in self._plugins]

    def status(self, plugin: Plugin) -> Status:
        """Loads a plugin and returns its status."""
        contents = self._load(plugin)
        state = "disabled" if plugin.disabled else "loaded" if contents else "failed"
        problems = tuple(problem for problem in self.problems if problem.plugin is plugin)
        facts = (contents.seconds, contents.heavy, contents.interface) if contents else ()
        return Status(plugin, state, contents.summary() if contents else {}, problems, *facts)

    def add_commands(self, app: Typer, argv: list[str] | None = None) -> None:
        """Adds the commands of plugins that a command line needs: see `commands.add_others`. By default all of them."""
        commands.add(app, self._commands(self._builtins), self._note)
        commands.add_others(app, argv, self._third_parties, self._commands, self._note)

    def _commands(self, plugins: Iterable[Plugin]) -> list[tuple[Plugin, commands.Commands]]:
        loaded = ((plugin, self._load(plugin, COMMANDS)) for plugin in plugins)
        return [(plugin, contents.commands) for plugin, contents in loaded if contents]

    def _load(self, plugin: Plugin, hook: str | None = None) -> Contents | None:
        """What a plugin registers through a hook, or through all; None where it is disabled or has failed.

        All hooks of a third-party plugin are called at once, so that it works completely or not at all. The hooks of a
        built-in are called when they are needed, and commands need no checked specs, so that `zoo --help` is fast.
        """
        try:
            if plugin not in self._contents:
                self._contents[plugin] = None  # for a plugin that asks the registry while it loads
                self._contents[plugin] = None if plugin.disabled else self._loader.load(plugin)
                self._note_slow(plugin)
            if contents := self._contents[plugin]:
                self._loader.call(contents, [hook] if hook and plugin.builtin else HOOKS, check=hook != COMMANDS)
                self._refuse_duplicates(plugin, contents)
                for warning in contents.warnings:
                    self._note(plugin, warning)
        except FaultyPluginError as fault:
            self._contents[plugin] = None
            self._note(plugin, str(fault))
        return self._contents[plugin]

    def _note_slow(self, plugin: Plugin) -> None:
        contents = self._contents[plugin]
        if contents and not plugin.builtin and contents.seconds > SLOW_SECONDS:
            self._note(plugin, f"Importing it took {contents.seconds:.1f} seconds: commands that need it wait.")

    def _refuse_duplicates(self, plugin: Plugin, contents: Contents) -> None:
        """Two plugins of one distribution must not have the same name, because `distribution:name` must be unique."""
        # What this process adds is replaced instead, maybe by another thread at this moment
        for sibling in () if plugin.given or plugin.file else self._plugins:
            known = self._contents.get(sibling)
            if known and known is not contents and sibling.canonical_distribution == plugin.canonical_distribution:
                for group, names in contents.summary().items():
                    if shared := set(names).intersection(known.summary()[group]):
                        raise FaultyPluginError(
                            f"Its {group} include '{min(shared)}', which plugin '{sibling.name}' also registers."
                        )

    def _note(self, plugin: Plugin, cause: str) -> None:
        problem = Problem(plugin, cause)
        if problem not in self.problems:
            self.problems.append(problem)

    def _entries(self, kind: Kind[S], plugins: Iterable[Plugin]) -> Iterator[Registered[S]]:
        """All entries of a kind with those of providers. Third-party names have their distribution in front."""
        for plugin in plugins:
            if contents := self._load(plugin, kind.hook):
                yield from lookup.entries(kind, plugin, contents, self._note)

    def _match(self, kind: Kind[S], name: str, plugins: Iterable[Plugin]) -> list[Registered[S]]:
        """All entries of `plugins` with this name."""
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
                f"Several plugins have the {kind.word} '{name}': {lookup.listed(hits)}.",
                f"Write the full name with its colon, for example: {hits[0].name}",
                code="ambiguous-name",
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
        return sorted(builtins, key=lambda entry: entry.name.partition("/")[0] if entry.provided else entry.name)

    def _absent(self) -> str:
        """The plugins that are not loaded and may have the name."""
        absent = [plugin.name for plugin in self._plugins if self._load(plugin) is None]
        return f" (not loaded: {', '.join(absent)}; see: zoo plugins)" if absent else ""
