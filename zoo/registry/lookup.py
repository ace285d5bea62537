"""Looks a name up in one plugin and in its providers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Generic

from zoo.errors import PluginError, UsageError, ZooError
from zoo.registry.discovery import Plugin, Problem, canonical
from zoo.registry.loading import AnyProvider, Contents, FaultyPluginError, Kind, S, a_thing, isolated
from zoo.registry.validation import PROVIDED_NAME, is_name, spec_fault
from zoo.specs import ExporterSpec


@dataclass(frozen=True)
class Registered(Generic[S]):
    """A spec, and the plugin that registers it.

    Attributes:
        kind: `backbone`, `dataset`, `exporter`, `logger` or `publisher`.
        name: the shortest name that finds it: the spec's name, or `distribution:name` where several plugins have it.
        plugin: the name of the entry point.
        provided: whether the name comes from a provider. The provider makes the spec when that is first read.
    """

    kind: str
    name: str
    plugin: str
    distribution: str
    version: str
    builtin: bool
    resolve: Callable[[], S] = field(repr=False, compare=False)
    provided: bool = False

    @property
    def release(self) -> str:
        """The distribution with its version, which those of a process lack."""
        return f"{self.distribution} {self.version}".strip()

    @cached_property
    def spec(self) -> S:
        """The spec. Raises `PluginError` where its provider fails."""
        return self.resolve()


@dataclass(frozen=True)
class Status:
    """The result of loading a plugin.

    Attributes:
        state: `loaded`, `failed` or `disabled`.
        registers: names by kind, in the plural. A provider is listed as its prefix and `…`.
        problems: also of plugins that are loaded.
        seconds, heavy, interface: as of `zoo.registry.loading.Contents`.
    """

    plugin: Plugin
    state: str
    registers: dict[str, list[str]]
    problems: tuple[Problem, ...]
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()
    interface: str = ""


def split(name: str) -> tuple[str | None, str]:
    """Splits `distribution:name` into the canonical distribution, which may be None, and the name."""
    distribution, colon, short = name.partition(":")
    return (canonical(distribution), short) if colon else (None, name)


def prefixes(statuses: Iterable[Status]) -> tuple[str, ...]:
    """The prefixes of all providers: `timm/`."""
    names = (name for status in statuses for table in status.registers.values() for name in table)
    return tuple(name.removesuffix("…") for name in names if name.endswith("…"))


def with_suffix(entries: Iterable[Registered[ExporterSpec]], file_name: str) -> Registered[ExporterSpec] | None:
    """The exporter with the longest suffix that a name ends with. Raises `UsageError` where several have it."""
    ends = [entry for entry in entries if file_name.endswith(entry.spec.suffix)]
    longest = max((len(entry.spec.suffix) for entry in ends), default=0)
    hits = [entry for entry in ends if len(entry.spec.suffix) == longest]
    if len(hits) > 1:
        raise UsageError(
            f"Several exporters have the suffix '{hits[0].spec.suffix}': {listed(hits)}.",
            f"Disable one of them, for example with: zoo plugins disable {hits[0].distribution}",
            code="ambiguous-suffix",
        )
    return hits[0] if hits else None


def listed(hits: Iterable[Registered[S]]) -> str:
    """Two or more names with their plugins, for a sentence."""
    *names, last = (f"{hit.name} (plugin '{hit.plugin}')" for hit in hits)
    return f"{', '.join(names)} and {last}"


def get(kind: Kind[S], plugin: Plugin, contents: Contents, name: str) -> Registered[S] | None:
    """The entry of a plugin with this name. Raises `PluginError` where the provider of its prefix fails."""
    spec = contents.specs[kind.word].get(name)
    if isinstance(spec, kind.spec):
        return _registered(kind, plugin, name, partial(_same, spec))
    for prefix, provider in contents.providers[kind.word].items():
        if name.startswith(prefix) and (provided := _ask(kind, plugin, provider, name)):
            return _registered(kind, plugin, name, partial(_same, provided), provided=True)
    return None


def entries(
    kind: Kind[S], plugin: Plugin, contents: Contents, note: Callable[[Plugin, str], None]
) -> Iterator[Registered[S]]:
    """All entries of a kind in a plugin. `note` gets the faults of its providers."""
    for name, spec in contents.specs[kind.word].items():
        if isinstance(spec, kind.spec):
            yield _registered(kind, plugin, name, partial(_same, spec))
    for prefix, provider in contents.providers[kind.word].items():
        try:
            names = _names(provider)
        except FaultyPluginError as fault:
            note(plugin, str(fault))
            continue
        for name in names:
            resolve = partial(_resolve, kind, plugin, provider, prefix + name)
            yield _registered(kind, plugin, prefix + name, resolve, provided=True)


def _registered(
    kind: Kind[S], plugin: Plugin, name: str, resolve: Callable[[], S], *, provided: bool = False
) -> Registered[S]:
    full = name if plugin.builtin else f"{plugin.distribution}:{name}"
    source = (plugin.name, plugin.distribution, plugin.version, plugin.builtin)
    return Registered(kind.word, full, *source, resolve, provided)


def _same(spec: S) -> S:
    return spec


def _names(provider: AnyProvider) -> list[str]:
    with isolated(f"Listing '{provider.prefix}'"):
        names = list(dict.fromkeys(provider.names()))
    for name in names:
        if not is_name(name, PROVIDED_NAME):
            raise FaultyPluginError(f"Its provider '{provider.prefix}' lists {name!r}, which is not a valid name.")
    return names


def _ask(kind: Kind[S], plugin: Plugin, provider: AnyProvider, name: str) -> S | None:
    """The spec of a name with the prefix of a provider."""
    try:
        with isolated(f"Looking up '{name}'"):
            spec = provider.get(name.removeprefix(provider.prefix))
            return None if spec is None else replace(_checked(kind, spec, name, provider.prefix), name=name)
    except FaultyPluginError as fault:
        if isinstance(fault.__cause__, ZooError):
            raise fault.__cause__ from None
        raise PluginError(str(fault), Problem(plugin, str(fault)).remedy) from fault


def _checked(kind: Kind[S], spec: object, name: str, prefix: str) -> S:
    if not isinstance(spec, kind.spec):
        raise FaultyPluginError(f"Looking up '{name}' returned {a_thing(spec)}, not a {kind.spec.__name__}.")
    if fault := spec_fault(spec, PROVIDED_NAME):
        raise FaultyPluginError(fault)
    if spec.name not in (name, name.removeprefix(prefix)):
        raise FaultyPluginError(f"Looking up '{name}' returned a spec with the name '{spec.name}'.")
    return spec


def _resolve(kind: Kind[S], plugin: Plugin, provider: AnyProvider, name: str) -> S:
    spec = _ask(kind, plugin, provider, name)
    if spec is None:
        cause = f"The provider '{provider.prefix}' lists '{name}' but does not find it."
        raise PluginError(cause, Problem(plugin, cause).remedy, code="provider-without-spec")
    return spec
