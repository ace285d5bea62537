"""The backbone of a run, or why this machine does not have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zoo.errors import PluginError, UnknownNameError
from zoo.runs.plugins import names_of

if TYPE_CHECKING:
    from zoo.registry import Registered
    from zoo.runs.run import Run
    from zoo.specs import BackboneSpec

# "visionzoo-timm 1.0". A run may come from somebody else, and its words become a command to type.
_RELEASE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ([0-9][A-Za-z0-9.+!_-]*)")


def backbone_of(run: Run) -> Registered[BackboneSpec]:
    """The backbone that a run was trained with.

    Raises:
        PluginError: its plugin is not installed, is disabled or fails, or has no such backbone. The message has the
            distribution and the version that the run records.
        UnknownNameError: its name is unknown, and the run records no distribution.
    """
    from zoo.registry import registry

    try:
        with names_of(run):
            return registry().backbone(run.info.backbone)
    except UnknownNameError as unknown:
        raise _absent(run) or unknown from None


def _absent(run: Run) -> PluginError | None:
    from zoo.registry import registry
    from zoo.registry.discovery import BUILTIN_DISTRIBUTION, canonical

    recorded = _RELEASE.fullmatch(run.info.backbone_plugin)
    if not recorded or canonical(recorded[1]) == BUILTIN_DISTRIBUTION:
        return None
    distribution, version = recorded.groups()
    needs = f"The run {run.name} was trained with the backbone '{run.info.backbone}' of {distribution} {version}"
    install, code = f"pip install '{distribution}=={version}'", "run-plugin-missing"
    host = registry()
    plugins = [each for each in host.installed() if each.canonical_distribution == canonical(distribution)]
    if not plugins:
        return PluginError(f"{needs}, which is not installed.", f"Install it with: {install}", code=code)
    if all(each.disabled for each in plugins):
        return PluginError(
            f"{needs}, which is disabled.", f"Enable it with: zoo plugins enable {distribution}", code=code
        )
    for status in map(host.status, plugins):
        if status.state == "failed" and status.problems:
            problem = status.problems[0]
            return PluginError(f"{needs}, which does not load: {problem.cause}", problem.remedy, code=code)
    return PluginError(
        f"{needs}. The installed {distribution} {plugins[0].version} does not have it.",
        f"Install the version that it was trained with: {install}",
        code=code,
    )
