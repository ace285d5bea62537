"""Formats of plugins whose faults name the plugin: their functions are other people's code."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from zoo.errors import ArtifactError, ExportError, ZooError
from zoo.registry.authors import source_folder
from zoo.registry.given import THIS_PROCESS
from zoo.registry.loading import FaultyPluginError, isolated
from zoo.registry.lookup import Registered
from zoo.specs import ExporterSpec

FUNCTIONS = ("write", "write_card", "read_card", "content_hash", "load", "check")
# Labels of Project-URL in the order in which they say where to report a fault
_PLACES = ("issues", "bugtracker", "tracker", "repository", "source", "homepage")
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


def reporting(entry: Registered[Any]) -> str:
    """What a user does about a fault of a third-party spec, as the beginning of a sentence.

    For example: "Report it to the authors of zoo-mine 1.2 (https://example.org/issues)".
    """
    if entry.distribution == THIS_PROCESS or entry.distribution.endswith(".py"):
        return f"Correct the {entry.kind} '{entry.name}' of {entry.distribution}"
    if folder := source_folder(entry.distribution):
        return f"Correct the {entry.kind} '{entry.name}' in {folder}"
    place = _place(entry.distribution)
    return f"Report it to the authors of {entry.release}{f' ({place})' if place else ''}"


def _place(distribution: str) -> str:
    """The address for faults in a distribution's metadata, or an empty text."""
    with suppress(Exception):
        given = importlib.metadata.metadata(distribution).get_all("Project-URL") or []
        parts = [each.partition(",") for each in given]
        urls = {label.strip().lower().replace(" ", ""): url.strip() for label, _, url in parts}
        return next((urls[label] for label in _PLACES if label in urls), "")
    return ""
