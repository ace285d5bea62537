"""Strict reading of untrusted JSON: refuses what Python's and pydantic's readers accept silently.

The errors are `PydanticCustomError`, a ValueError whose type is the code of the error.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticCustomError

MAX_PARTS = 1_000_000  # brackets and commas: parsing costs time and memory for each
# Of a table with any entries.
MAX_DEPTH = 6
MAX_VALUES = 20_000
MAX_NAME = 200
MAX_TEXT = 10_000


def malformed(reason: str, *, code: str) -> PydanticCustomError:
    """The error for JSON that no card has. Inside validators, pydantic keeps its code."""
    return PydanticCustomError(code, reason)


def bounded(value: Any) -> Any:
    """JSON values within the limits above, tuples as lists. Raises ValueError."""
    left = MAX_VALUES

    def walk(part: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise malformed(f"more than {MAX_VALUES} values", code="card-too-many-values")
        if depth > MAX_DEPTH:
            raise malformed(f"nested deeper than {MAX_DEPTH} levels", code="card-too-deep")
        match part:
            case dict():
                if any(not isinstance(name, str) or len(name) > MAX_NAME for name in part):
                    raise malformed(f"a name is not text of up to {MAX_NAME} characters", code="card-name")
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
        raise malformed("a value is too large, not finite or not JSON", code="card-value")

    return walk(value, 0)


def read_strictly(text: str) -> dict[str, Any]:
    """Parses an object. Raises ValueError if it has a name twice or a number that is not finite."""
    if sum(map(text.count, "[{,")) > MAX_PARTS:
        raise malformed(f"it has more than {MAX_PARTS:,} parts", code="card-too-many-parts")
    try:
        fields = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise malformed("it is nested too deeply", code="card-too-deep") from None
    if not isinstance(fields, dict):
        raise malformed("it is not an object", code="card-not-object")
    if any(isinstance(value, float) and not math.isfinite(value) for value in _leaves(fields)):
        raise malformed("a number is not finite", code="card-not-finite")
    return fields


def hash_of(fields: dict[str, Any]) -> str:
    """SHA-256 of an object. Spacing and the order of names do not matter."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise malformed("an object has a name twice", code="card-name-twice")
    return fields


def _refuse(constant: str) -> Any:
    raise malformed(f"{constant} is not a valid number", code="card-constant")


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part
        else:
            yield part
