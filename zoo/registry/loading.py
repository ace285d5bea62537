"""Loads one plugin. Every fault becomes a `FaultyPluginError` with one sentence."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import pluggy

from zoo import hookspecs
from zoo.errors import nearest, raised
from zoo.processes.state import ProcessEndError, process_kept
from zoo.registry.commands import command_name
from zoo.registry.discovery import Plugin
from zoo.registry.hook_groups import RUN_HOOKS, argument_fault, group_fault
from zoo.registry.interface import NEEDED, deprecations, interface_fault
from zoo.registry.patience import PATIENCE
from zoo.registry.plugin_file import PluginFile, import_file
from zoo.registry.validation import name_fault, provider_fault, spec_fault
from zoo.specs import BackboneSpec, DatasetSpec, ExporterSpec, LoggerSpec, Provider, PublisherSpec, Spec

if TYPE_CHECKING:
    from typer.models import CommandInfo, TyperInfo

S = TypeVar("S", bound=Spec)
S_co = TypeVar("S_co", bound=Spec, covariant=True)
AnyProvider = Provider[BackboneSpec] | Provider[DatasetSpec]


class FaultyPluginError(Exception):
    """The fault of a plugin, as a sentence."""


@dataclass(frozen=True)
class Kind(Generic[S_co]):
    """A kind of thing that plugins register, with its name and its hook."""

    word: str
    hook: str
    spec: type[S_co]
    provides: bool = False


BACKBONE = Kind("backbone", "zoo_backbones", BackboneSpec, provides=True)
DATASET = Kind("dataset", "zoo_datasets", DatasetSpec, provides=True)
EXPORTER = Kind("exporter", "zoo_exporters", ExporterSpec)
LOGGER = Kind("logger", "zoo_loggers", LoggerSpec)
PUBLISHER = Kind("publisher", "zoo_publishers", PublisherSpec)
KINDS: tuple[Kind[Spec], ...] = (BACKBONE, DATASET, EXPORTER, LOGGER, PUBLISHER)
COMMANDS = "zoo_commands"
# Packages that take long to import.
HEAVY = ("torch", "torchvision", "tensorflow", "jax", "onnxruntime", "transformers", "timm", "matplotlib", "gradio")
HOOKS = (*(kind.hook for kind in KINDS), COMMANDS)
ALL_HOOKS = (*HOOKS, *RUN_HOOKS)


@dataclass
class Contents:
    """What a plugin registers through the hooks that were called so far.

    Attributes:
        module: the object that its entry point names.
        hooks: the implemented hooks that were not called yet.
        specs, providers: by the word of their kind.
        unchecked: those of its specs that were not checked yet.
        warnings: about what it uses and the next interface will not have.
        seconds: that its import took.
        heavy: packages of `HEAVY` that its import was the first to import.
    """

    module: object
    hooks: set[str]
    specs: dict[str, dict[str, Spec]] = field(default_factory=lambda: {kind.word: {} for kind in KINDS})
    providers: dict[str, dict[str, AnyProvider]] = field(default_factory=lambda: {kind.word: {} for kind in KINDS})
    commands: dict[str, CommandInfo | TyperInfo] = field(default_factory=dict)
    unchecked: list[Spec] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()

    @property
    def interface(self) -> str:
        """The version of the plugin interface that it says it needs, or an empty text."""
        return str(getattr(self.module, NEEDED, ""))

    def summary(self) -> dict[str, list[str]]:
        """Names by kind, in the plural. A provider is listed as its prefix and `…`."""
        table = {
            word: [*specs, *(f"{prefix}…" for prefix in self.providers[word])] for word, specs in self.specs.items()
        }
        return {f"{word}s": names for word, names in table.items()} | {"commands": list(self.commands)}


@contextmanager
def isolated(doing: str) -> Iterator[None]:
    """Turns every exception of a plugin into a `FaultyPluginError`. What it prints goes to stderr.

    So does what it writes to descriptor 1. `os._exit` is an exception, too. Signal handlers and Pillow's global
    settings that it changes are put back.
    """
    try:
        with process_kept():
            yield
    except (FaultyPluginError, KeyboardInterrupt):
        raise
    except ProcessEndError as error:
        raise FaultyPluginError(f"{doing} called {error}, which would end zoo.") from error
    except BaseException as error:  # SystemExit too: no plugin may end zoo
        raise FaultyPluginError(f"{doing} raised {raised(error)}.") from error


class Loader:
    """Imports plugins and calls their hooks, one plugin at a time."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)

    def load(self, plugin: Plugin) -> Contents:
        """Imports a plugin without calling its hooks. Raises `FaultyPluginError`."""
        with process_kept():
            return self._load_file(plugin, plugin.file) if plugin.file else self._load_entry(plugin)

    def _load_entry(self, plugin: Plugin) -> Contents:
        entry = plugin.entry_point
        if entry is None:
            raise FaultyPluginError(f"Its entry_points.txt has a section [{plugin.group}] that cannot be read.")
        if not entry.pattern.match(entry.value):
            raise FaultyPluginError(
                f"Its entry point '{entry.name} = {entry.value}' does not name a module or an object."
            )
        known = [name for name in HEAVY if name in sys.modules]
        started = time.perf_counter()
        with PATIENCE.watch(plugin), isolated(f"Importing {entry.value}"):
            module = entry.load()
        seconds = time.perf_counter() - started
        _refuse_interface(module)
        heavy = tuple(name for name in HEAVY if name in sys.modules and name not in known)
        hooks = self._registered(plugin, module)
        if fault := group_fault(plugin, entry, hooks):
            raise FaultyPluginError(fault)
        return Contents(module, hooks, seconds=seconds, heavy=heavy)

    def adopt(self, plugin: Plugin, module: object) -> Contents:
        """Makes the hooks of a module callable that another loader has imported. Raises `FaultyPluginError`."""
        return Contents(module, self._registered(plugin, module))

    def _load_file(self, plugin: Plugin, file: PluginFile) -> Contents:
        with isolated("Importing it"):
            module = import_file(file)
        _refuse_interface(module)
        if self.manager.has_plugin(plugin.key):
            self.manager.unregister(name=plugin.key)
        hooks = self._registered(plugin, module)
        if COMMANDS in hooks:
            raise FaultyPluginError(f"Its hook {COMMANDS} has no effect: only an installed plugin can add commands.")
        return Contents(module, hooks)

    def call(self, contents: Contents, hooks: Iterable[str], *, check: bool = True) -> None:
        """Calls those of `hooks` that were not called yet. Raises `FaultyPluginError`.

        Args:
            check: whether to check the fields of all specs that were not checked yet, which imports pydantic.
        """
        wanted = [hook for hook in hooks if hook in contents.hooks]
        with process_kept() if wanted else nullcontext():
            for hook in wanted:
                contents.hooks.discard(hook)
                with isolated(f"Its hook {hook}"):
                    if hook == COMMANDS:
                        self._collect_commands(contents)
                    for kind in KINDS:
                        if kind.hook == hook:
                            self._collect(kind, contents)
        while check and contents.unchecked:
            with isolated("The check of its specs"):
                fault = spec_fault(contents.unchecked.pop())
            if fault:
                raise FaultyPluginError(fault)

    def _registered(self, plugin: Plugin, module: object) -> set[str]:
        """Takes the hooks of a module. Returns their names."""
        with isolated("Registering its hooks"):
            try:
                self.manager.register(module, plugin.key)
            except pluggy.PluginValidationError as error:
                fault = argument_fault(module)
                raise FaultyPluginError(fault) if fault else error from None
            return self._implemented(module)

    def _implemented(self, module: object) -> set[str]:
        callers = self.manager.get_hookcallers(module) or []
        for caller in callers:
            required = [impl for impl in caller.get_hookimpls() if impl.plugin is module and not impl.optionalhook]
            if required and not caller.has_spec():
                near = nearest(caller.name, ALL_HOOKS, most=1)
                hint = f"Did you mean {near[0]}?" if near else f"The hooks are {', '.join(ALL_HOOKS)}."
                raise FaultyPluginError(f"zoo has no hook named {caller.name}. {hint}")
        names = {caller.name for caller in callers}
        for hook in ALL_HOOKS:
            if hook not in names and callable(getattr(module, hook, None)):
                raise FaultyPluginError(f"Its function {hook} is not marked with zoo.hookspecs.hookimpl.")
        if not names:
            raise FaultyPluginError(f"It implements no hook. The hooks are {', '.join(ALL_HOOKS)}.")
        return names

    def call_hook(self, hook: str, module: object, **arguments: object) -> list[object]:
        """Calls a hook of one module. Raises what it raises."""
        others = self.manager.get_plugins() - {module}
        results: list[object] = self.manager.subset_hook_caller(hook, others)(**arguments)
        return results

    def _collect(self, kind: Kind[Spec], contents: Contents) -> None:
        expected = kind.spec.__name__
        results = self.call_hook(kind.hook, contents.module)
        # pluggy leaves out a result that is None
        for result in results or [None]:
            if not isinstance(result, Iterable) or isinstance(result, str | bytes | Mapping):
                raise FaultyPluginError(
                    f"Its hook {kind.hook} returned {a_thing(result)}, not an iterable of {expected}."
                )
            for item in result:
                if isinstance(item, Provider) and kind.provides:
                    _add(contents.providers[kind.word], item.prefix, item, provider_fault(item), "prefix")
                elif isinstance(item, kind.spec):
                    _add(contents.specs[kind.word], item.name, item, name_fault(item), kind.word)
                    contents.unchecked.append(item)
                    contents.warnings += deprecations(item)
                else:
                    raise FaultyPluginError(
                        f"Its hook {kind.hook} returned an item that is {a_thing(item)}, not a {expected}."
                    )
        suffixes = [spec.suffix for spec in contents.specs[kind.word].values() if isinstance(spec, ExporterSpec)]
        if twice := {suffix for suffix in suffixes if suffixes.count(suffix) > 1}:
            raise FaultyPluginError(f"It registers two exporters for the suffix '{min(twice)}'.")

    def _collect_commands(self, contents: Contents) -> None:
        from typer import Typer
        from typer.main import get_group, solve_typer_info_defaults

        app = Typer(add_completion=False)
        self.call_hook(COMMANDS, contents.module, app=app)
        if app.registered_callback:
            raise FaultyPluginError(
                "Its hook zoo_commands replaced the callback of zoo. It may only add commands and groups."
            )
        if app.registered_commands or app.registered_groups:
            get_group(app)  # Typer reads the signatures here, and must not fail on one when zoo starts
        for command in app.registered_commands:
            _add(contents.commands, command_name(command), command, None, "command")
        for group in app.registered_groups:
            # A group without a name would put its commands in place of those of zoo
            name = solve_typer_info_defaults(group).name or ""
            _add(contents.commands, name, group, None if name else "It adds a group without a name.", "command")


T = TypeVar("T")


def _refuse_interface(module: object) -> None:
    with isolated(f"Reading its {NEEDED}"):  # a module may have a function `__getattr__`
        fault = interface_fault(module)
    if fault:
        raise FaultyPluginError(fault)


def _add(table: dict[str, T], name: str, item: T, fault: str | None, word: str) -> None:
    if fault:
        raise FaultyPluginError(fault)
    if name in table:
        raise FaultyPluginError(f"It registers the {word} '{name}' twice.")
    table[name] = item


def a_thing(value: object) -> str:
    """The type of a value with its article, for a sentence."""
    noun = type(value).__name__
    return "None" if value is None else f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"
