"""`zoo plugins check`: whether plugins keep the rules of `zoo.testing`. Each is checked in a process of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.errors import UnknownNameError

if TYPE_CHECKING:
    from zoo.processes.supervised import Supervised
    from zoo.registry import Plugin

MODULE = "zoo.testing.process"
LONGEST_SECONDS = 600.0  # for one plugin
Result = dict[str, Any]  # as `zoo.testing.Result`


def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="Distribution or plugin file; left out: all third-party plugins."),
    ] = None,
    formats: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Formats to which backbones are exported, for example onnx. Default: all.",
            show_default=False,
        ),
    ] = "",
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of datasets. Nothing is downloaded.", show_default=False)
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", help="Longest time for one plugin.")
    ] = LONGEST_SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that plugins keep the rules: each backbone, dataset, format and logger. Exit code 1 if one is broken."""
    from zoo.cli.console import stdout
    from zoo.cli.tables import print_json
    from zoo.processes.children import check_time_limit

    check_time_limit(time_limit)
    options = _options(formats, data_root)
    reports: list[dict[str, Any]] = []
    for target in _targets(name):
        results: list[Result] = []
        for result in results_of(target, options, time_limit):
            if not as_json:
                _print(result, first=not results or results[-1]["subject"] != result["subject"])
            results.append(result)
        reports.append({"plugin": target, "passed": not _count(results, "broken"), "results": results})
    if as_json:
        print_json(reports)
    elif not reports:
        stdout().print("No third-party plugin is installed.")
    else:
        everything = [result for report in reports for result in report["results"]]
        counts = (f"{_count(everything, state)} {state}" for state in ("kept", "skipped", "broken"))
        stdout().print(f"\nRules: {', '.join(counts)}.", markup=False)
    if not all(report["passed"] for report in reports):
        raise typer.Exit(1)


def _count(results: Sequence[Result], state: str) -> int:
    return sum(result["state"] == state for result in results)


def _options(formats: str, data_root: Path | None) -> dict[str, object]:
    """The arguments of `zoo.testing.checks.plugin_results`."""
    import platformdirs

    from zoo.registry import registry

    names = [name.strip() for name in formats.split(",") if name.strip()]
    for name in names:
        registry().exporter(name)
    return {
        "formats": names or None,
        "root": str(data_root or platformdirs.user_cache_path("visionzoo") / "datasets"),
    }


def _targets(name: str | None) -> list[str]:
    """What is checked: distributions or entry points, or a plugin file."""
    from zoo.registry import registry
    from zoo.registry.plugin_file import find_file
    from zoo.registry.run_hooks import installed

    if name and name.endswith(".py"):
        return [find_file(name).path]
    plugins = installed(registry())
    if name is None:
        return list(dict.fromkeys(plugin.distribution for plugin in plugins if not _is_out(plugin)))
    if not _meant(name):
        raise UnknownNameError("plugin", name, [each.distribution for each in plugins], "See: zoo plugins list")
    return [name]


def _meant(name: str) -> list[Plugin]:
    """The installed plugins with this distribution, name, or both."""
    from zoo.registry import registry
    from zoo.registry.discovery import canonical
    from zoo.registry.run_hooks import installed

    found = installed(registry())
    return [each for each in found if canonical(name) == each.canonical_distribution or name in (each.name, each.key)]


def _is_out(plugin: Plugin) -> bool:
    return plugin.builtin or plugin.disabled or plugin.file is not None


def results_of(target: str, options: dict[str, object], seconds: float) -> Iterator[Result]:
    """The results of one plugin as they come. A process that ends or is late has broken the rule that it was at."""
    from zoo.processes.supervised import supervised

    with supervised(MODULE, target, json.dumps(options), environment=_alone(target)) as process:
        yield from _heard(process, target, seconds)


def _heard(process: Supervised, target: str, seconds: float) -> Iterator[Result]:
    from zoo.processes.children import more_time

    deadline = time.monotonic() + seconds
    rule = {"subject": f"the plugin '{target}'", "rule": "loads", "says": "It can be loaded."}
    while True:
        try:
            answer = process.next(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            yield _broken(rule, f"It does not end within {seconds:g} seconds.", more_time(seconds))
            return
        if answer is None:
            remedy = "Let the code that this rule calls return. The rules after it were not looked at."
            yield _broken(rule, process.how_it_ended(), remedy)
            return
        if "done" in answer:
            return
        if "begun" in answer:
            rule = answer["begun"]
        elif "refused" in answer:
            yield _broken(rule, *answer["refused"])
        else:
            yield answer["result"]


def _broken(rule: dict[str, str], cause: str, remedy: str) -> Result:
    return {**rule, "state": "broken", "cause": cause, "remedy": remedy, "seconds": 0.0}


def _alone(target: str) -> dict[str, str]:
    """The environment in which no other third-party plugin loads: one of those may be broken."""
    from zoo.registry import registry
    from zoo.registry.discovery import DISABLED_VARIABLE, canonical, disabled_by_variable
    from zoo.registry.run_hooks import installed

    plugins = installed(registry())
    needed = {canonical(name) for plugin in _meant(target) for name in (plugin.name, plugin.distribution)}
    others = {plugin.canonical_distribution for plugin in plugins if not plugin.builtin} - needed
    return {DISABLED_VARIABLE: ",".join([*disabled_by_variable(), *sorted(others)])}


def _print(result: Result, *, first: bool) -> None:
    from zoo.cli.console import stdout
    from zoo.progress import printable

    if first:
        stdout().print(f"\n{printable(result['subject'])}", markup=False)
    tail = f": {result['cause']}" if result["cause"] else ""
    style = "bold red" if result["state"] == "broken" else None
    stdout().print(printable(f"  {result['state']:<8} {result['rule']}{tail}"), style=style, markup=False)
    if result["remedy"] and result["state"] == "broken":
        stdout().print(printable(f"           {result['remedy']}"), markup=False)
