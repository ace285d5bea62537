"""Where commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
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


def process_number() -> int:
    """From 0; others are further processes of a training, which print no results."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def fail(error: ZooError) -> NoReturn:
    """Prints cause and remedy; ends the process with the error's exit code."""
    where = f" in process {process_number()}" if process_number() else ""
    stderr().print(f"Error{where}: {error.cause}", style="bold red", markup=False)
    stderr().print(error.remedy, markup=False)
    sys.exit(error.exit_code)
