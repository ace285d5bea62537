"""A recipe from a file, with options that win over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.recipes.builtin import find
from zoo.recipes.parsing import without_effect
from zoo.recipes.recipe import Recipe


def read_stored(file: str | None) -> dict[str, Any]:
    """The options of a recipe by its name or path; none for None. Raises `UsageError`."""
    return Recipe.read(find(file)) if file else {}


def merged(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The stored options and the given ones, which win. What then belongs to nothing any more is left out."""
    options = {**stored, **given}
    idle = (set(without_effect(each, Recipe.defaults())) for each in (options, stored))
    for name in set.difference(*idle) - set(given):
        del options[name]
    return options
