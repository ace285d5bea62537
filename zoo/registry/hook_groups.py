"""Which hooks belong to which group of entry points, and which arguments they have."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from importlib.metadata import EntryPoint

from zoo import hookspecs
from zoo.registry.discovery import GROUP, RUN_GROUP, Plugin

# What trainings and exports call, and not the registry
RUN_HOOKS = ("zoo_run_started", "zoo_epoch_ended", "zoo_run_ended", "zoo_exported")


def argument_fault(module: object) -> str | None:
    """A sentence about the first hook of a module with an argument that it cannot have, or None."""
    for name, spec in vars(hookspecs).items():
        function = getattr(module, name, None)
        if name.startswith("zoo_") and callable(function):
            allowed = list(inspect.signature(spec).parameters)
            wrong = [each for each in inspect.signature(function).parameters if each not in allowed]
            if wrong:
                may = f"the only one that it may have is '{allowed[0]}'" if allowed else "it may have none"
                return f"Its hook {name} has an argument '{wrong[0]}': {may}."
    return None


def group_fault(plugin: Plugin, entry: EntryPoint, hooks: Collection[str]) -> str | None:
    """A sentence about hooks that nobody would call, or None."""
    told = sorted(set(hooks).intersection(RUN_HOOKS))
    if plugin.group == RUN_GROUP and not told:
        return f"Its entry point of the group {RUN_GROUP} names a module without {', '.join(RUN_HOOKS)}."
    groups = {each.group for each in entry.dist.entry_points if each.value == entry.value} if entry.dist else {GROUP}
    if told and RUN_GROUP not in groups:
        return f"Its hook {told[0]} is called only if pyproject.toml names the module in the group {RUN_GROUP}, too."
    return None
