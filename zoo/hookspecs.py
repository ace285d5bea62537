"""All hooks for plugins.

A plugin is a module named by an entry point of the group `zoo`. It marks functions with `hookimpl`. Hooks return
descriptions (`zoo.specs`) and import nothing slow: the factories in a description do that when they are called.

The last four hooks take facts (`zoo.facts`) and return nothing. Their module is named by an entry point of the group
`zoo.run_hooks`, so that a training imports no plugin that has none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from zoo.facts import EpochEnded, Exported, RunEnded, RunStarted
    from zoo.specs import BackboneSpec, DatasetSpec, ExporterSpec, LoggerSpec, Provider, PublisherSpec

PROJECT = "zoo"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def zoo_datasets() -> Iterable[DatasetSpec | Provider[DatasetSpec]]:  # type: ignore[empty-body]
    """Returns datasets, or providers of datasets.

    Example::

        @hookimpl
        def zoo_datasets():
            yield DatasetSpec(name="shapes", load=load_shapes, native_size=32, licence="CC0")
    """


@hookspec
def zoo_backbones() -> Iterable[BackboneSpec | Provider[BackboneSpec]]:  # type: ignore[empty-body]
    """Returns networks, or providers of networks.

    Example::

        @hookimpl
        def zoo_backbones():
            yield BackboneSpec(name="tiny", build=build_tiny, head="fc", stages=tiny_stages)
    """


@hookspec
def zoo_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Returns formats of exported files.

    Example::

        @hookimpl
        def zoo_exporters():
            yield ExporterSpec(name="mine", suffix=".mine", write=write, load=load, ...)
    """


@hookspec
def zoo_loggers() -> Iterable[LoggerSpec]:  # type: ignore[empty-body]
    """Returns destinations for metrics, chosen with `zoo train --loggers`.

    Example::

        @hookimpl
        def zoo_loggers():
            yield LoggerSpec(name="print", create=PrintLogger)
    """


@hookspec
def zoo_publishers() -> Iterable[PublisherSpec]:  # type: ignore[empty-body]
    """Returns ways to show exported files to other people.

    Example::

        @hookimpl
        def zoo_publishers():
            yield PublisherSpec(name="poster", write=write_poster)
    """


@hookspec
def zoo_commands(app: typer.Typer) -> None:
    """Adds commands to `zoo`.

    Example::

        @hookimpl
        def zoo_commands(app):
            app.command("hello")(lambda: print("hello"))
    """


@hookspec
def zoo_run_started(facts: RunStarted) -> None:
    """Is called when a training begins or is resumed, after its data and its plan are checked.

    The run folder then has `run.json` and `recipe.toml`.

    Example::

        @hookimpl
        def zoo_run_started(facts):
            send(f"{facts.name}: {facts.backbone} on {facts.dataset}, {facts.epochs} epochs")
    """


@hookspec
def zoo_epoch_ended(facts: EpochEnded) -> None:
    """Is called after each epoch. The training waits for it.

    Example::

        @hookimpl
        def zoo_epoch_ended(facts):
            if facts.better:
                send(f"{facts.name}: epoch {facts.epoch}, {facts.row['val_top1']:.1%}")
    """


@hookspec
def zoo_run_ended(facts: RunEnded) -> None:
    """Is called when a training ends: after its final figures, with an error, or by an interrupt.

    Example::

        @hookimpl
        def zoo_run_ended(facts):
            send(f"{facts.name}: {facts.status} {facts.error}")
    """


@hookspec
def zoo_exported(facts: Exported) -> None:
    """Is called for each exported file after it was checked and has its final name.

    Example::

        @hookimpl
        def zoo_exported(facts):
            store(facts.path, facts.card)
    """
