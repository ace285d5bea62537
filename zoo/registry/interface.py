"""The version of the plugin interface: what a plugin says that it needs, and what is going out of use."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

from zoo.specs import DEPRECATED, INTERFACE, Spec

NEEDED = "ZOO_INTERFACE"  # the name in a plugin's module
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})")


def interface_fault(module: object) -> str | None:
    """Why a plugin's module does not fit this interface, as a sentence; None where it fits or says nothing."""
    needed = getattr(module, NEEDED, None)
    if needed is None:
        return None
    found = _VERSION.fullmatch(needed) if isinstance(needed, str) else None
    if not found:
        return f"Its {NEEDED} is {needed!r}, which is not a version such as '{INTERFACE}'."
    theirs, ours = (tuple(map(int, version.split("."))) for version in (found.group(), INTERFACE))
    if theirs > ours:
        return (
            f"It needs version {needed} of the plugin interface, and this visionzoo has {INTERFACE}: upgrade visionzoo."
        )
    if theirs[0] < ours[0]:
        return (
            f"It is made for version {needed} of the plugin interface, and this visionzoo has {INTERFACE}: upgrade it."
        )
    return None


def deprecations(spec: Spec) -> list[str]:
    """A sentence for each field of a spec that is set, and that a later interface will not have."""
    owner = f"Its {type(spec).__name__} '{spec.name}' sets"
    return [
        f"{owner} {field.name}, which the next interface will not have. {DEPRECATED[key]}"
        for field in fields(spec)
        if (key := f"{type(spec).__name__}.{field.name}") in DEPRECATED
        and (field.default is MISSING or getattr(spec, field.name) != field.default)
    ]
