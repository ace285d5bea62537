"""The option `--plugin FILE` of every command that looks names up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from zoo.recipes.place import PLUGINS_HELP

OPTION = "plugin"
PLUGINS = Annotated[list[Path] | None, typer.Option("--plugin", metavar="FILE", help=PLUGINS_HELP, show_default=False)]


def with_plugin_files(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--plugin`, whose files are loaded before it starts."""
    hints = get_type_hints(command, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in inspect.signature(command).parameters.items()
    ]
    option = inspect.Parameter(OPTION, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=PLUGINS)

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        add_files(options.pop(OPTION) or ())
        command(*arguments, **options)

    run.__signature__ = inspect.Signature([*parameters, option])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, option)}
    return run


def add_files(paths: tuple[Path | str, ...] | list[Path]) -> None:
    """Loads plugin files. Raises `UsageError` or `PluginError`."""
    from zoo.registry import registry

    for path in paths:
        registry().add_file(path)
