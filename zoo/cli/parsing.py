"""Typer's errors for a wrong command line, in the two sentences of every other error."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from zoo.errors import UsageError


class Group(TyperGroup):
    """The commands; a command line that cannot be taken is a `UsageError`."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            if error.message.startswith("Usage:"):  # no command at all: this is the help
                raise
            raise wrong_command(error) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            raise wrong_command(error) from None


def wrong_command(error: typer.TyperException) -> UsageError:
    """Typer passes on pydantic's words, which are about types; these are about what to write."""
    param, found = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    help_page = f"See: {_command(error)} --help"
    if param is None or found is None:
        near = getattr(error, "possibilities", None)
        advice = f"Did you mean {' or '.join(near)}? {help_page}" if near else help_page
        cause = error.message or error.format_message()
        return UsageError(cause if cause.endswith((".", "?")) else f"{cause}.", advice)
    name = f"{param.param_type_name} {max(param.opts, key=len)}"
    return UsageError(f"The {name} cannot be {found()[0]['input']!r}.", _advice(param) or help_page)


def _command(error: typer.TyperException) -> str:
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        return str(ctx.command_path)
    return " ".join(["zoo", *sys.argv[1:2]])  # Typer forgets it where an option lacks its value


def _advice(param: Any) -> str | None:
    """What an option or argument can be, unless it is text."""
    choices, kind = param.type_descriptor.choices, param.type_descriptor.annotation
    if choices:
        return f"Choose one of {', '.join(str(getattr(choice, 'value', choice)) for choice in choices)}."
    if kind not in (int, float):
        return None
    bounds = {
        (False, False): "",
        (True, False): f" of at least {param.min}",
        (False, True): f" of at most {param.max}",
        (True, True): f" from {param.min} to {param.max}",
    }
    return f"Give a {'whole ' * (kind is int)}number{bounds[param.min is not None, param.max is not None]}."
