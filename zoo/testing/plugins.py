"""The rules of whole plugins: how they load, and what they register."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.cli.plugin_survey import SLOW_SECONDS
from zoo.errors import PluginError, UnknownNameError
from zoo.registry import Registered, Status, registry
from zoo.registry.commands import missing_commands, not_registered
from zoo.registry.core import Registry
from zoo.registry.discovery import RUN_GROUP, Plugin, canonical
from zoo.registry.plugin_file import find_file
from zoo.registry.run_hooks import installed, status_of
from zoo.testing.importing import SECONDS, Imported, imported
from zoo.testing.rules import Report, Rule, SkippedRuleError, broken, follow

SAMPLE = 3  # names of a provider that are looked at


@dataclass(eq=False)
class PluginCase:
    """A plugin that is looked at: it is imported in a process of its own, then loaded in this one."""

    plugin: Plugin
    seconds: float = SECONDS

    @cached_property
    def imported(self) -> Imported:
        return imported(self.plugin, self.seconds)

    @cached_property
    def status(self) -> Status:
        return status_of(registry(), self.plugin)

    def registered(self) -> Iterator[Registered[Any]]:
        """What it registers, of each provider the first names that it lists."""
        host = registry()
        counts: dict[str, int] = {}
        for entry in _all(host):
            if (entry.distribution, entry.plugin) != (self.plugin.distribution, self.plugin.name):
                continue
            prefix = f"{entry.kind} {entry.name.rpartition(':')[2].partition('/')[0]}"
            counts[prefix] = counts.get(prefix, 0) + 1
            if not entry.provided or counts[prefix] <= SAMPLE:
                yield entry


def _imports(case: PluginCase) -> None:
    if case.imported.fault:
        raise broken(case.imported.fault, "Make its module importable on its own: python -c 'import NAME'.")


def _fits_interface(case: PluginCase) -> None:
    if case.imported.interface:
        raise broken(case.imported.interface, "ZOO_INTERFACE names the version of zoo.specs.INTERFACE that it needs.")


def _is_light(case: PluginCase) -> None:
    found = case.imported
    if found.heavy:
        raise broken(
            f"Its module imports {', '.join(found.heavy)} at the top.",
            "Import them inside the factories: every listing of names imports the module.",
        )
    if found.seconds > SLOW_SECONDS:
        raise broken(f"Importing it takes {found.seconds:.1f} seconds.", "Import slow modules inside the factories.")


def _is_quiet(case: PluginCase) -> None:
    if case.imported.printed:
        raise broken(
            f"Importing it writes to the standard output: {case.imported.printed[:60]!r}.",
            "Print nothing at import: programs read what zoo prints.",
        )


def _keeps_process(case: PluginCase) -> None:
    if case.imported.changed:
        raise broken(
            f"Importing it changes {', '.join(case.imported.changed)}.",
            "Leave what belongs to the whole process alone, or put it back.",
        )


def _loads(case: PluginCase) -> None:
    problems = case.status.problems
    if case.status.state == "disabled":
        raise broken("It is disabled.", f"Enable it with: zoo plugins enable {case.plugin.distribution}")
    if case.status.state == "failed":
        cause = problems[0].cause if problems else "It did not load."
        raise broken(cause, "Correct it: a plugin with one fault is left out completely.")


def _names(case: PluginCase) -> None:
    from zoo.cli import app

    if case.plugin.builtin:
        raise SkippedRuleError("It is a built-in.")
    if case.plugin.group == RUN_GROUP:
        raise SkippedRuleError("It registers no names.")
    host = registry()
    host.add_commands(app)  # finds out which commands clash
    if taken := [each.cause for each in registry().status(case.plugin).problems if "already exists" in each.cause]:
        raise broken(taken[0], "Choose another name for the command.")
    for entry in _all(host):
        if entry.builtin and entry.name in case.status.registers[f"{entry.kind}s"]:
            raise broken(
                f"Its {entry.kind}s include '{entry.name}', the name of a built-in.",
                f"Choose another name: now it is {case.plugin.distribution}:{entry.name}.",
            )


def _registers_commands(case: PluginCase) -> None:
    host = registry()
    siblings = [each for each in host.installed() if each.canonical_distribution == case.plugin.canonical_distribution]
    registered = {name for each in siblings for name in host.status(each).registers.get("commands", [])}
    for name in missing_commands(case.plugin, registered):
        raise broken(*not_registered(name))


def _all(host: Registry) -> list[Registered[Any]]:
    return [*host.backbones(), *host.datasets(), *host.exporters(), *host.loggers(), *host.publishers()]


RULES: tuple[Rule[PluginCase], ...] = (
    Rule(name="imports", says="Its module can be imported in a fresh process, in time.", check=_imports),
    Rule(
        name="interface",
        says="The version of the plugin interface that it needs is one that this visionzoo has.",
        check=_fits_interface,
        after=("imports",),
    ),
    Rule(
        name="light",
        says=f"The import takes at most {SLOW_SECONDS:g} second and does not import torch or its like.",
        check=_is_light,
        after=("imports",),
    ),
    Rule(name="quiet", says="The import writes nothing to the standard output.", check=_is_quiet, after=("imports",)),
    Rule(
        name="keeps-process",
        says="The import leaves signal handlers, Pillow's settings and the working folder alone.",
        check=_keeps_process,
        after=("imports",),
    ),
    Rule(name="loads", says="Its hooks return valid specs.", check=_loads, after=("imports", "interface")),
    Rule(name="names", says="None of its names is that of a built-in.", check=_names, after=("loads",)),
    Rule(
        name="commands",
        says="Each command that its distribution declares in the group `zoo.commands` is registered.",
        check=_registers_commands,
        after=("loads",),
    ),
)


def find_plugins(name: str) -> list[Plugin]:
    """The plugins of a distribution, an entry point or a plugin file with this name. Raises `UnknownNameError`."""
    if name.endswith(".py"):
        try:
            name = registry().add_file(name).name
        except PluginError:  # the rules say what is wrong with it
            return [Plugin.of_file(find_file(name))]
    plugins = installed(registry())
    found = [
        plugin
        for plugin in plugins
        if canonical(name) == plugin.canonical_distribution or name in (plugin.name, plugin.key)
    ]
    if not found:
        known = [plugin.distribution for plugin in plugins]
        raise UnknownNameError("plugin", name, known, "List them with: zoo plugins")
    return found


def report_plugin(plugin: Plugin, seconds: float = SECONDS) -> tuple[Report, list[Registered[Any]]]:
    """Looks at the rules of a plugin itself. Also returns what it registers, as far as it loads."""
    case = PluginCase(plugin, seconds)
    report = follow(f"the plugin '{plugin.key}'", RULES, case)
    if "loads" not in report.kept or plugin.group == RUN_GROUP:
        return report, []
    try:
        return report, list(case.registered())
    except PluginError:
        return report, []
