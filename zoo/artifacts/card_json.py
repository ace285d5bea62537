"""A stranger's JSON: what Python's and pydantic's readers forgive is refused here, by ValueError."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

MAX_PARTS = 1_000_000  # brackets and commas: parsing costs time and memory for each
# Of a table whose entries are free.
MAX_DEPTH = 6
MAX_VALUES = 20_000
MAX_NAME = 200
MAX_TEXT = 10_000


def bounded(value: Any) -> Any:
    """JSON values within the limits above, tuples as lists. Raises ValueError."""
    left = MAX_VALUES

    def walk(part: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_VALUES} values, or nested deeper than {MAX_DEPTH}")
        match part:
            case dict():
                if any(not isinstance(name, str) or len(name) > MAX_NAME for name in part):
                    raise ValueError(f"a name that is no text of up to {MAX_NAME} characters")
                return {name: walk(inner, depth + 1) for name, inner in part.items()}
            case list() | tuple():
                return [walk(inner, depth + 1) for inner in part]
            case None | bool():
                return part
            case str() if len(part) <= MAX_TEXT:
                return part
            case int() if abs(part) < 2**63:
                return part
            case float() if math.isfinite(part):
                return part
        raise ValueError("a value that is too large, not finite, or no JSON")

    return walk(value, 0)


def read_strictly(text: str) -> dict[str, Any]:
    """An object whose names stand once and whose numbers are finite."""
    if sum(map(text.count, "[{,")) > MAX_PARTS:
        raise ValueError(f"it has more than {MAX_PARTS:,} parts")
    try:
        fields = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("it is no object")  # noqa: TRY004  (of the text, which is a string)
    if any(isinstance(value, float) and not math.isfinite(value) for value in _leaves(fields)):
        raise ValueError("a number is not finite")
    return fields


def hash_of(fields: dict[str, Any]) -> str:
    """SHA-256 of an object, however its text is spaced and in whatever order its names stand."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return fields


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
        else:
            yield part
