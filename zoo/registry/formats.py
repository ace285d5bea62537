"""Formats of plugins whose faults name the plugin: their functions are other people's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from zoo.errors import ArtifactError, ExportError, ZooError
from zoo.registry.authors import reporting
from zoo.registry.loading import FaultyPluginError, isolated
from zoo.registry.lookup import Registered
from zoo.specs import ExporterSpec

FUNCTIONS = ("write", "write_card", "read_card", "content_hash", "load", "check")
# An OSError is a full disk or a missing file, and the command line has a sentence for it.
_PASSING = (ZooError, MemoryError, OSError)


def guarded(entry: Registered[ExporterSpec], kind: type[ExportError | ArtifactError]) -> ExporterSpec:
    """The spec of a format. Where a plugin's function fails, it raises an error that names the plugin.

    Args:
        kind: the class of the error.
    """
    if entry.builtin:
        return entry.spec
    functions: dict[str, Any] = {name: _guarded(entry, kind, name, getattr(entry.spec, name)) for name in FUNCTIONS}
    return replace(entry.spec, **functions)


def _guarded(
    entry: Registered[ExporterSpec], kind: type[ExportError | ArtifactError], name: str, function: Callable[..., Any]
) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            with isolated(f"its function '{name}'"):
                return function(*arguments, **named)
        except FaultyPluginError as fault:
            error, said = fault.__cause__, str(fault)
        if isinstance(error, _PASSING):
            raise error  # with the cause that its own code gave it
        raise kind(
            f"The format '{entry.name}' of {entry.release} failed: {said}", remedy(entry), code="format-failed"
        ) from error

    return call


def remedy(entry: Registered[ExporterSpec]) -> str:
    """What a user does about a fault of a plugin's format."""
    return f"{reporting(entry)}, or use another format."
