"""The recipes that come with the package: TOML files whose leading comment describes them."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from zoo.errors import UsageError, nearest

BOOK = Path(__file__).with_name("recipes")


def recipe_names() -> list[str]:
    return sorted(file.stem for file in BOOK.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a recipe, by its name or its path. Raises `UsageError` for a name that nobody knows."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return Path(name).expanduser()
    if name not in recipe_names():
        near = nearest(name, recipe_names())
        raise UsageError(
            f"There is no recipe named '{name}'.",
            f"Did you mean {' or '.join(near)}?" if near else "See `zoo list recipes`, or name a .toml file.",
        )
    return BOOK / f"{name}.toml"


def description(name: str) -> str:
    """The first paragraph of a recipe's leading comment."""
    lines = (BOOK / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    comment = (line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines))
    return " ".join(takewhile(bool, comment))
