"""Tells the run hooks of plugins about an exported file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from zoo.exporting.source import RunSource, Source
from zoo.facts import Exported
from zoo.progress import Reporter
from zoo.registry import registry
from zoo.registry.run_hooks import Key, RunHooks

if TYPE_CHECKING:
    from zoo.exporting.pipeline import Artifact

_silenced: set[Key] = set()  # plugins that failed at an export of this process: `zoo export` may write several files
_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


@contextmanager
def untold() -> Iterator[None]:
    """Exports inside call no run hooks: their files are not for the user."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def tell(source: Source, artifact: Artifact) -> None:
    """Calls `zoo_exported` of every plugin that has it."""
    if _quiet.get():
        return
    hooks = RunHooks(registry(), Reporter().warn, silenced=_silenced)
    if not hooks:
        return
    facts = Exported(
        run=source.run.path.absolute() if isinstance(source, RunSource) else None,
        path=artifact.path.absolute(),
        weights=artifact.weights.absolute() if artifact.weights else None,
        format=artifact.format,
        card=json.loads(artifact.card.model_dump_json(exclude={"examples"})),
    )
    hooks.call("zoo_exported", facts)
