"""Where commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

    from zoo.errors import ZooError


@cache
def stdout() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """One loud line."""
    stderr().print(message, style="bold yellow", markup=False)


def fail(error: ZooError) -> NoReturn:
    """Prints cause and remedy; ends the process with the error's exit code."""
    stderr().print(f"Error: {error.cause}", style="bold red", markup=False)
    stderr().print(error.remedy, markup=False)
    sys.exit(error.exit_code)
