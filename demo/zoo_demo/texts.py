"""The page's texts, in English and Chinese. All of them are in `texts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def say(key: str, language: Language, **values: Any) -> str:
    """A text with its values, without markup: escape it in HTML. `n` is a number that English tells in two forms."""
    texts = all_texts()[key]
    form = "en_one" if language == "en" and values.get("n") == 1 and "en_one" in texts else language
    return texts[form].format(**values)


def language_of(headers: Mapping[str, str]) -> Language:
    """The language of a request: the first one of its header, which is the browser's own."""
    return "zh" if headers.get("accept-language", "").strip().lower().startswith("zh") else "en"


@cache
def all_texts() -> dict[str, dict[str, str]]:
    """Of each key, such as `tab.draw`: its texts."""
    read = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
    return dict(_flat(read))


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    if "en" in table:
        yield prefix, table
        return
    for name, value in table.items():
        yield from _flat(value, f"{prefix}.{name}" if prefix else name)
