"""The recipes that come with the package: TOML files whose leading comment describes them."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from zoo.errors import UnknownNameError

BOOK = Path(__file__).parent


def recipe_names() -> list[str]:
    return sorted(file.stem for file in BOOK.glob("*.toml"))


def find(name: str) -> Path:
    """The file of a recipe, by its name or its path. Raises `UnknownNameError`."""
    if name.endswith(".toml") or "/" in name or "\\" in name:
        return Path(name).expanduser()
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names(), "List them with: zoo list recipes")
    return BOOK / f"{name}.toml"


def description(name: str) -> str:
    """The first paragraph of a recipe's leading comment."""
    lines = (BOOK / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    comment = (line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines))
    return " ".join(takewhile(bool, comment))
