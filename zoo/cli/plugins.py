"""`zoo plugins`: what is installed, what it registers, why it fails, and whether it is loaded at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli import plugin_check, plugin_new
from zoo.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from zoo.cli.plugin_survey import Record
    from zoo.registry import Plugin

app = typer.Typer(help="Show, check, write and disable plugins.")
SHOWN = 6
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Distribution of the plugin, for example visionzoo-shapes.")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_(as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the plugins: what each registers, how long its import takes, and the cause of a failure."""
    from zoo.cli.console import stdout
    from zoo.cli.plugin_survey import survey
    from zoo.cli.tables import print_json, print_table
    from zoo.progress import printable

    records = survey()
    if as_json:
        print_json(records)
        return
    columns = {
        "plugin": lambda each: each["name"],
        "distribution": lambda each: each["distribution"],
        "version": lambda each: each["version"],
        "interface": lambda each: each["interface"],
        "state": lambda each: each["state"],
        "import": lambda each: f"{each['import_seconds']:.2f} s" if each["state"] == "loaded" else "",
        "registers": _brief,
    }
    print_table(tuple(columns), [[cell(record) for cell in columns.values()] for record in records])
    for record in records:
        for problem in record["problems"]:
            key = printable(f"{record['distribution']}:{record['name']}")
            stdout().print(f"\n{key}: {printable(problem['cause'])}", markup=False)
            stdout().print(printable(problem["remedy"]), markup=False)


def _brief(record: Record) -> str:
    groups = []
    for kind, names in record["registers"].items():
        if len(names) > SHOWN:
            groups.append(f"{len(names)} {kind}")
        elif names:
            groups.append(f"{kind}: {', '.join(names)}")
    return "; ".join(groups)


app.command("check")(plugin_check.check)
app.command("new")(plugin_new.new)


@app.command("disable")
def disable(name: Name) -> None:
    """Load a plugin no longer, until it is enabled again."""
    from zoo.cli.console import stdout
    from zoo.registry import registry
    from zoo.registry.configuration import change_disabled, disabled_names, place
    from zoo.registry.discovery import canonical
    from zoo.registry.run_hooks import installed

    disabled_names()  # raises where the file is damaged
    plugins = installed(registry())
    found = [plugin for plugin in plugins if canonical(name) in _names(plugin)]
    if not found:
        known = [plugin.distribution for plugin in plugins if not plugin.builtin]
        raise UnknownNameError("plugin", name, known, "List them with: zoo plugins list")
    if any(plugin.builtin for plugin in found):
        raise UsageError(
            f"'{name}' is a part of visionzoo.",
            "Only plugins of other distributions can be disabled.",
            code="built-in-plugin",
        )
    if any(plugin.file for plugin in found):
        raise UsageError(
            f"'{name}' is a plugin file.", "Leave out --plugin, or the line in the recipe.", code="plugin-not-installed"
        )
    change_disabled(lambda names: [*names, canonical(name)])
    stdout().print(f"{canonical(name)} is disabled ({place()}).", markup=False)
    stdout().print(f"Enable it again with: zoo plugins enable {canonical(name)}", markup=False)


@app.command("enable")
def enable(name: Name) -> None:
    """Load a plugin again that was disabled."""
    from zoo.cli.console import stdout
    from zoo.registry.configuration import change_disabled, disabled_names
    from zoo.registry.discovery import DISABLED_VARIABLE, canonical, disabled_by_variable

    names = {canonical(each): each for each in disabled_names()}
    if canonical(name) in map(canonical, disabled_by_variable()):
        raise UsageError(
            f"The environment variable {DISABLED_VARIABLE} has '{name}'.",
            f"Remove it there: unset {DISABLED_VARIABLE}",
            code="disabled-by-variable",
        )
    if canonical(name) not in names:
        known = f"Disabled are: {', '.join(names)}." if names else "No plugin is disabled."
        raise UsageError(f"The plugin '{name}' is not disabled.", known, code="plugin-not-disabled")
    change_disabled(lambda names: [each for each in names if canonical(each) != canonical(name)])
    stdout().print(f"{canonical(name)} is enabled.", markup=False)


def _names(plugin: Plugin) -> tuple[str, ...]:
    from zoo.registry.discovery import canonical

    return plugin.canonical_distribution, canonical(plugin.name)
