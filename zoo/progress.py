"""What a long job tells whoever waits for it: bars on a terminal, lines in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager


def say_nothing(_: str) -> None:
    """For those who do not want to know."""


def printable(text: str) -> str:
    """Text that cannot steer a terminal: what a file says, or a runtime of it, is a stranger's."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


class Reporter:
    """Prints to stderr, or nowhere.

    Args:
        quiet: print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """One line."""
        self.console.print(printable(message), markup=False)

    def warn(self, message: str) -> None:
        """One line that must not be missed."""
        self.console.print(printable(message), style="bold yellow", markup=False)

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Named facts, as a table."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows.items():
            table.add_row(name, Text(value))
        self.console.print(table)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Aligned columns."""
        from rich.table import Table
        from rich.text import Text

        table = Table(*headers, box=None, header_style="cyan")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Shows a bar while the context is open; its value advances the bar by a number of steps. A log gets none."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        live = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not live) as progress:
            task = progress.add_task(what, total=total)
            yield lambda steps: progress.advance(task, steps)
