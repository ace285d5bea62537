"""`zoo plugins`: what is installed, what it registers, and why it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zoo.registry import Status

app = typer.Typer(help="Show the plugins, and why one fails.")
SHOWN = 6
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def _root(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_(as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the plugins: distribution, version, what each registers, and the cause of a failure."""
    from zoo.cli import app as root
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_json, print_table
    from zoo.progress import printable
    from zoo.registry import registry

    host = registry()
    host.add_commands(root)  # finds out which commands clash
    statuses = host.plugins()
    if as_json:
        print_json([_record(status) for status in statuses])
        return
    rows = []
    for status in statuses:
        plugin = status.plugin
        rows.append((plugin.name, plugin.distribution, plugin.version, status.state, _brief(status)))
    print_table(("plugin", "distribution", "version", "state", "registers"), rows)
    for status in statuses:
        for problem in status.problems:
            stdout().print(f"\n{printable(problem.plugin.key)}: {printable(problem.cause)}", markup=False)
            stdout().print(problem.remedy, markup=False)


def _brief(status: Status) -> str:
    groups = []
    for kind, names in status.registers.items():
        if len(names) > SHOWN:
            groups.append(f"{len(names)} {kind}")
        elif names:
            groups.append(f"{kind}: {', '.join(names)}")
    return "; ".join(groups)


def _record(status: Status) -> dict[str, object]:
    plugin = status.plugin
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "builtin": plugin.builtin,
        "state": status.state,
        "registers": status.registers,
        "problems": [{"cause": problem.cause, "remedy": problem.remedy} for problem in status.problems],
    }
