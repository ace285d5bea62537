"""What `zoo plugins list` says of each plugin. A process of its own loads them, because they may end or block it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from zoo.errors import PluginError
from zoo.processes.supervised import answering, supervised
from zoo.progress import Reporter
from zoo.registry import Plugin, Problem, Status, registry
from zoo.registry.commands import missing_commands, not_registered
from zoo.registry.discovery import GROUP
from zoo.registry.run_hooks import installed, status_of

Record = dict[str, Any]
LONGEST_SECONDS = 30.0  # for one plugin to load
NOTED_SECONDS = 2.0  # until the user hears which one is loading
SLOW_SECONDS = 1.0  # of an import; every command that needs the plugin waits for it


def survey() -> list[Record]:
    """A record of each plugin, as `zoo plugins list --json` prints it."""
    plugins = {plugin.key: plugin for plugin in installed(registry())}
    records: dict[str, Record] = {}
    while len(records) < len(plugins):
        before = len(records)
        records |= {record["key"]: record for record in _part(plugins, list(records))}
        if len(records) == before:
            raise PluginError("The plugins cannot be listed: their process ends before it loads one.", "Report this.")
    found = [records[key] for key in plugins]
    _note_clashes(found, plugins)
    for record in found:
        del record["key"]
    return found


def _part(plugins: dict[str, Plugin], done: list[str]) -> Iterator[Record]:
    """Records of plugins that one process could load, and of the one that it could not."""
    with supervised(__name__, json.dumps(done)) as process:
        while True:
            try:
                answer = process.next(LONGEST_SECONDS)
            except TimeoutError:
                raise PluginError(
                    f"The plugins cannot be listed: their process does not begin within {LONGEST_SECONDS:g} seconds.",
                    "Try again when the machine is less busy.",
                ) from None
            if answer is None or "done" in answer:
                return
            plugin = plugins[answer["begun"]]
            try:
                found = _patiently(process.next, plugin)
            except TimeoutError:
                yield _failed(plugin, f"It does not load within {LONGEST_SECONDS:g} seconds.")
                return
            if found is None:
                yield _failed(plugin, process.how_it_ended())
                return
            yield found["status"]


def _patiently(wait: Any, plugin: Plugin) -> Any:
    try:
        return wait(NOTED_SECONDS)
    except TimeoutError:
        Reporter().say(f"Loading the plugin {plugin.key} …")
        return wait(LONGEST_SECONDS - NOTED_SECONDS)


def _failed(plugin: Plugin, cause: str) -> Record:
    return _record(Status(plugin, "failed", {}, (Problem(plugin, cause),)))


def _record(status: Status) -> Record:
    plugin = status.plugin
    return {
        "key": plugin.key,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "interface": status.interface,
        "builtin": plugin.builtin,
        "state": status.state,
        "registers": status.registers,
        "import_seconds": round(status.seconds, 3),
        "imports": list(status.heavy),
        "problems": [_as_json(problem) for problem in (*status.problems, *_slowness(status))],
    }


def _as_json(problem: Problem) -> dict[str, str]:
    return {"cause": problem.cause, "remedy": problem.remedy}


def _slowness(status: Status) -> Iterator[Problem]:
    plugin = status.plugin
    if plugin.builtin or status.state != "loaded":
        return
    advice = (
        "Its author can import slow modules inside the factories. "
        f"Until then, disable it with: zoo plugins disable {plugin.distribution}"
    )
    if status.heavy:
        cause = f"Its module imports {', '.join(status.heavy)} at the top: {status.seconds:.1f} seconds."
        yield Problem(plugin, cause, advice)
    elif status.seconds > SLOW_SECONDS and not status.problems:
        yield Problem(plugin, f"Importing it takes {status.seconds:.1f} seconds.", advice)


def _note_clashes(records: list[Record], plugins: dict[str, Plugin]) -> None:
    """Commands that run under another name, and commands that the help does not show."""
    from zoo.cli import app
    from zoo.registry.commands import existing

    builtins = [name for record in records if record["builtin"] for name in _commands(record)]
    taken = {*existing(app), *builtins}
    others = [record for record in records if not record["builtin"]]
    counts = Counter(name for record in others for name in _commands(record))
    for record in others:
        plugin = plugins[record["key"]]
        for name in _commands(record):
            if name in taken or counts[name] > 1:
                full = f"{plugin.distribution}:{name}"
                cause = f"Its command '{name}' already exists, so it runs as: zoo {full}"
                record["problems"].append(_as_json(Problem(plugin, cause, "Its author can choose another name.")))
            if name not in plugin.commands:
                cause = f"The help of zoo does not show its command '{name}'."
                advice = f'Its author can add to pyproject.toml: [project.entry-points."zoo.commands"] {name} = "…"'
                record["problems"].append(_as_json(Problem(plugin, cause, advice)))
    _note_missing(others, plugins)


def _note_missing(records: list[Record], plugins: dict[str, Plugin]) -> None:
    """Commands that a distribution declares and none of its plugins registers."""
    together: dict[str, list[Record]] = {}
    for record in records:
        if plugins[record["key"]].group == GROUP:
            together.setdefault(plugins[record["key"]].canonical_distribution, []).append(record)
    for first, *others in together.values():
        if all(record["state"] == "loaded" for record in (first, *others)):
            registered = {name for record in (first, *others) for name in _commands(record)}
            plugin = plugins[first["key"]]
            for name in missing_commands(plugin, registered):
                first["problems"].append(_as_json(Problem(plugin, *not_registered(name))))


def _commands(record: Record) -> list[str]:
    names: list[str] = record["registers"].get("commands", [])
    return names


def _main() -> None:
    send, (done,) = answering()
    host = registry()
    for plugin in installed(host):
        if plugin.key in json.loads(done):
            continue
        send({"begun": plugin.key})
        status = status_of(host, plugin)
        send({"status": _record(status)})
        if status.heavy and not plugin.builtin:
            break  # what it has imported would seem fast in the next plugin: that gets a new process
    send({"done": True})


if __name__ == "__main__":
    _main()
