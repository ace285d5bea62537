"""Checks for the authors of plugins: each part of a plugin is looked at rule by rule.

A check raises `ConformanceError` where a rule is broken, and names the rule, the cause and the remedy. Otherwise it
returns a `Report`. The commands `zoo plugins check` and the tests of visionzoo itself use the same rules.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.testing.checks import check_backbone, check_dataset, check_exporter, check_logger, check_plugin
    from zoo.testing.rules import ConformanceError, Report, Result

_HOMES = {
    **dict.fromkeys(("ConformanceError", "Report", "Result"), "zoo.testing.rules"),
    **dict.fromkeys(
        ("check_backbone", "check_dataset", "check_exporter", "check_logger", "check_plugin"), "zoo.testing.checks"
    ),
}
__all__ = [
    "ConformanceError",
    "Report",
    "Result",
    "check_backbone",
    "check_dataset",
    "check_exporter",
    "check_logger",
    "check_plugin",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo.testing' has no attribute '{name}'", name=name)
    return getattr(importlib.import_module(_HOMES[name]), name)
