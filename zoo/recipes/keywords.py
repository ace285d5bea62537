"""Keywords of the Python functions: an unknown one suggests the nearest."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from zoo.errors import UsageError, nearest

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def suggesting(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Makes a call with an unknown keyword raise `UsageError` with the nearest known ones."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        for name in keywords:
            if name not in known:
                near = nearest(name, known)
                remedy = f"Did you mean {' or '.join(near)}?" if near else f"The options are {', '.join(known)}."
                cause = f"zoo.{function.__name__} has no option '{name}'."
                raise UsageError(cause, remedy, code="unknown-option")
        return function(*args, **keywords)

    return call
