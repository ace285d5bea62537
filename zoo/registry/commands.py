"""The commands that plugins add to `zoo`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from zoo.registry.discovery import Plugin

if TYPE_CHECKING:
    from typer import Typer
    from typer.models import CommandInfo, TyperInfo

    Commands = dict[str, CommandInfo | TyperInfo]

HELP_OPTIONS = {"-h", "--help"}


def existing(app: Typer) -> dict[str, object]:
    """The functions of commands, and the groups, of an app by name."""
    from typer.main import solve_typer_info_defaults

    table: dict[str, object] = {command_name(command): command.callback for command in app.registered_commands}
    for group in app.registered_groups:
        table[solve_typer_info_defaults(group).name or ""] = group.typer_instance
    return table


def command_name(command: CommandInfo) -> str:
    """The name that Typer gives a command."""
    from typer.main import get_command_name

    return command.name or get_command_name(getattr(command.callback, "__name__", ""))


def add_others(
    app: Typer,
    argv: Sequence[str] | None,
    plugins: Sequence[Plugin],
    load: Callable[[Iterable[Plugin]], list[tuple[Plugin, Commands]]],
    note: Callable[[Plugin, str], None],
) -> None:
    """Adds those commands of third-party plugins that a command line needs, and loads no other plugin.

    The help needs their declared names only. A command that no plugin declares may belong to any plugin.

    Args:
        argv: None: all commands are needed.
        load: loads plugins, and returns their commands.
        note: as of `add`.
    """
    if argv is None:
        add(app, load(plugins), note)
        return
    options = list(takewhile(lambda word: word.startswith("-"), argv))
    if not argv or not HELP_OPTIONS.isdisjoint(options):
        add(app, _declared(plugins), lambda *_: None)  # the page itself shows which names are taken
        return
    known = existing(app)
    for name in argv[len(options) : len(options) + 1]:
        if name not in known:
            found = load([plugin for plugin in plugins if name in plugin.commands])
            add(app, found if any(name in table for _, table in found) else load(plugins), note)


def _declared(plugins: Iterable[Plugin]) -> list[tuple[Plugin, Commands]]:
    """Commands for a help page, which names where each comes from."""
    from typer.models import CommandInfo

    found: dict[str, tuple[Plugin, Commands]] = {}
    for plugin in plugins:
        if plugin.commands and not plugin.disabled:
            words = f"From the plugin {plugin.distribution}."
            table: Commands = {name: CommandInfo(name, callback=_nothing, help=words) for name in plugin.commands}
            found.setdefault(plugin.canonical_distribution, (plugin, table))
    return list(found.values())


def missing_commands(plugin: Plugin, registered: Collection[str]) -> list[str]:
    """The commands that the distribution of a plugin declares and does not register."""
    return [name for name in plugin.commands if name not in registered]


def not_registered(name: str) -> tuple[str, str]:
    """Cause and remedy for such a command."""
    return (
        f"It declares the command '{name}' in the group zoo.commands, and registers none of this name.",
        f"Its author can register it in the hook zoo_commands: app.command('{name}')(function), or remove the line.",
    )


def _nothing() -> None:
    """Stands in for a command on a help page."""


def add(app: Typer, found: Sequence[tuple[Plugin, Commands]], note: Callable[[Plugin, str], None]) -> None:
    """Adds commands to `app`.

    A command is added as `distribution:name` where `app` already has its name, or two plugins have it. `note` gets a
    sentence about that.
    """
    taken = existing(app)
    counts = Counter(name for _, commands in found for name in commands)
    for plugin, commands in found:
        for short, command in commands.items():
            full = f"{plugin.distribution}:{short}"
            if _runs(command) in (taken.get(short), taken.get(full)):
                continue
            if short in taken or counts[short] > 1:
                note(plugin, f"Its command '{short}' already exists, so it runs as: zoo {full}")
                _append(app, full, command)
            else:
                _append(app, short, command)


def _runs(command: CommandInfo | TyperInfo) -> object:
    from typer.models import CommandInfo

    return command.callback if isinstance(command, CommandInfo) else command.typer_instance


def _append(app: Typer, name: str, command: CommandInfo | TyperInfo) -> None:
    from typer.models import CommandInfo

    named = copy.copy(command)
    named.name = name
    if isinstance(named, CommandInfo):
        app.registered_commands.append(named)
    else:
        app.registered_groups.append(named)
