"""The commands that plugins add to `zoo`."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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


def needs_third_parties(argv: Sequence[str], known: Collection[str]) -> bool:
    """Whether a command line is empty, asks for help, or has a command that is not in `known`."""
    options = list(takewhile(lambda word: word.startswith("-"), argv))
    command = argv[len(options) : len(options) + 1]
    return not argv or not HELP_OPTIONS.isdisjoint(options) or (bool(command) and command[0] not in known)


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
