"""Calls the run hooks of plugins. One that fails is named once, and never ends a training or an export.

Installed plugins name the module with these hooks in the entry-point group `zoo.run_hooks`. So a training with built-in
names imports no plugin that has none of them. Plugin files need no such line: they are loaded anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from zoo.facts import Facts
from zoo.registry.core import Registry
from zoo.registry.discovery import RUN_GROUP, Plugin, Problem, discover
from zoo.registry.hook_groups import RUN_HOOKS
from zoo.registry.loading import Contents, FaultyPluginError, Loader, isolated
from zoo.registry.lookup import Status
from zoo.registry.plugin_file import module_of

Key = tuple[str, str]  # of a plugin in one version


class RunHooks:
    """The run hooks of all plugins, for one training or one export.

    Args:
        host: the registry with the plugin files of the process.
        warn: takes one sentence about a plugin that fails.
        silenced: plugins that failed before. They get no calls, and those that fail now are added.
        discovered: the plugins of the group `zoo.run_hooks`, used instead of the installed ones.
    """

    def __init__(
        self,
        host: Registry,
        warn: Callable[[str], None],
        *,
        silenced: set[Key] | None = None,
        discovered: Collection[Plugin] | None = None,
    ) -> None:
        self._warn, self._silenced = warn, set() if silenced is None else silenced
        self._loader = Loader()
        self._plugins: list[tuple[Plugin, Contents]] = []
        files = [(plugin, plugin.file) for plugin in host.installed() if plugin.file]
        for plugin in discover(group=RUN_GROUP) if discovered is None else discovered:
            if plugin.disabled or _key(plugin) in self._silenced:
                continue
            try:
                self._plugins.append((plugin, self._loader.load(plugin)))
            except FaultyPluginError as fault:
                self._silence(plugin)
                warn(str(Problem(plugin, str(fault))))
        for plugin, file in files:
            if _key(plugin) not in self._silenced and host.status(plugin).state == "loaded":
                contents = self._loader.adopt(plugin, module_of(file))
                if contents.hooks.intersection(RUN_HOOKS):
                    self._plugins.append((plugin, contents))

    def __bool__(self) -> bool:
        return bool(self._plugins)

    def call(self, hook: str, facts: Facts) -> None:
        """Calls a hook of every plugin that has it, each with its own copy of the facts."""
        for plugin, contents in list(self._plugins):
            try:
                if hook in contents.hooks:
                    self._tell(contents, hook, facts)
            except FaultyPluginError as fault:
                self._silence(plugin)
                self._warn(f"{Problem(plugin, str(fault)).named} Its run hooks are not called any more.")

    def _tell(self, contents: Contents, hook: str, facts: Facts) -> None:
        given = replace(facts)
        with isolated(f"Its hook {hook}"):
            self._loader.call_hook(hook, contents.module, facts=given)
        if given != facts:
            raise FaultyPluginError(f"Its hook {hook} changed the facts that it got.")

    def _silence(self, plugin: Plugin) -> None:
        self._silenced.add(_key(plugin))
        self._plugins = [each for each in self._plugins if each[0] is not plugin]


def _key(plugin: Plugin) -> Key:
    return plugin.key, plugin.version


def installed(host: Registry) -> list[Plugin]:
    """The plugins of a registry, and those of the group `zoo.run_hooks`, without loading them."""
    return [*host.installed(), *discover(group=RUN_GROUP)]


def status_of(host: Registry, plugin: Plugin) -> Status:
    """Loads one of the plugins that `installed` returns, and returns the result."""
    if plugin.group != RUN_GROUP:
        return host.status(plugin)
    if plugin.disabled:
        return Status(plugin, "disabled", {}, ())
    try:
        contents = Loader().load(plugin)
    except FaultyPluginError as fault:
        return Status(plugin, "failed", {}, (Problem(plugin, str(fault)),))
    hooks = sorted(contents.hooks.intersection(RUN_HOOKS))
    return Status(plugin, "loaded", {"run_hooks": hooks}, (), contents.seconds, contents.heavy)
