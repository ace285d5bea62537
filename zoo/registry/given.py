"""What a process gives to its registry itself, instead of an installed package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.registry.loading import KINDS, AnyProvider, Contents, FaultyPluginError, Kind, a_thing, isolated
from zoo.registry.plugin_file import VARIABLE
from zoo.registry.validation import provider_fault, spec_fault
from zoo.specs import Provider, Spec

if TYPE_CHECKING:
    from zoo.registry.core import Registry

THIS_PROCESS = "this process"
REGISTER = "zoo.register"


def kind_of(item: object) -> Kind[Any]:
    """The kind of a spec or a provider that is valid. Raises `UsageError` for anything else."""
    for kind in KINDS:
        if isinstance(item, kind.spec):
            _refuse(spec_fault(item))
            return kind
    if isinstance(item, Provider):
        _refuse(provider_fault(item))
        return _provided(item)
    known = ", ".join(kind.spec.__name__ for kind in KINDS)
    hint = " Call it first." if callable(item) else ""
    raise UsageError(
        f"{REGISTER} got {a_thing(item)}.", f"Give it one of {known} or Provider.{hint}", code="not-a-spec"
    )


def _refuse(fault: str | None) -> None:
    if fault:
        cause = f"The {fault.removeprefix('Its ')}"
        raise UsageError(cause, f"Fix it before {REGISTER} gets it.", code="faulty-spec")


def _provided(provider: AnyProvider) -> Kind[Any]:
    """The kind that a provider makes. It does not say so itself, so it is asked for the first name that it lists."""
    cause = f"The Provider '{provider.prefix}' lists no name that it finds."
    try:
        with isolated(f"Asking the Provider '{provider.prefix}'"):
            first = next(iter(provider.names()), None)
            spec = None if first is None else provider.get(first)
    except FaultyPluginError as fault:
        cause, spec = str(fault), None
    for kind in KINDS:
        if kind.provides and isinstance(spec, kind.spec):
            return kind
    raise UsageError(
        cause, "Its 'names' must list a name for which 'get' returns a BackboneSpec or DatasetSpec.", code="faulty-spec"
    )


@contextmanager
def for_now(host: Registry) -> Iterator[None]:
    """Forgets at the end what is registered inside, and tells the next child processes nothing of it."""
    known, told = vars(host).copy(), os.environ.get(VARIABLE)
    try:
        yield
    finally:
        vars(host).update(known)
        os.environ.pop(VARIABLE, None)
        if told is not None:
            os.environ[VARIABLE] = told


def with_item(contents: Contents, kind: Kind[Any], item: Spec | AnyProvider) -> Contents:
    """The contents and one more item, in place of an earlier one of its name.

    They are new objects: another thread may read the old ones.
    """
    specs, providers = dict(contents.specs), dict(contents.providers)
    if isinstance(item, Provider):
        providers[kind.word] = {**providers[kind.word], item.prefix: item}
    else:
        specs[kind.word] = {**specs[kind.word], item.name: item}
    return Contents(None, set(), specs, providers)
