"""Calls what plugins give to the core, under the isolation in which plugins are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zoo.errors import PluginError, ZooError
from zoo.registry.loading import FaultyPluginError, S, a_thing, isolated
from zoo.registry.lookup import Registered


def owner_of(entry: Registered[S]) -> str:
    """What a spec is and where it comes from, as the first words of a sentence."""
    return f"The {entry.kind} '{entry.name}' of {entry.distribution}"


@contextmanager
def calling(owner: str, what: str, *passing: type[Exception]) -> Iterator[None]:
    """Turns every exception of a plugin's code, `SystemExit` too, into a `PluginError`.

    `ZooError` and `MemoryError` pass, and so do the exceptions in `passing`. What the code prints goes to stderr.

    Args:
        owner: as `owner_of` returns it.
        what: the function that is called: `build`.
    """
    unchanged: tuple[type[Exception], ...] = (ZooError, MemoryError, *passing)
    try:
        with isolated(what):
            yield
    except FaultyPluginError as fault:
        if isinstance(fault.__cause__, unchanged):
            raise fault.__cause__ from None
        raise PluginError(
            f"{owner} cannot be used: {fault}", f"Fix its function {what}.", code="factory-failed"
        ) from fault


def wrong_result(owner: str, what: str, result: object, expected: str) -> PluginError:
    """The error for a function of a plugin that returned something else than it must."""
    remedy = f"Its function {what} must return {expected}."
    return PluginError(f"{owner} cannot be used: {what} returned {a_thing(result)}.", remedy, code="factory-result")
