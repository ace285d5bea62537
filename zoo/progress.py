"""Progress of long jobs: bars on a terminal, lines in a log."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LIVE_SECONDS = 1  # between two notes beside a bar on a terminal
LOG_SECONDS = 60  # between two lines of one job in a log
PAGE_SECONDS = 0.2  # between two changes of a bar in a notebook
TASK = cast("TaskID", 0)  # the first and only job of a bar


def say_nothing(_: str) -> None:
    """Ignores the message."""


def printable(text: str) -> str:
    """Replaces control characters: text from an untrusted file must not control the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def in_words(seconds: float) -> str:
    """A time as text, in seconds, minutes or hours: `12 min`."""
    if seconds < 100:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004


def timestamp(seconds: float | None = None) -> str:
    """A time of this machine, ISO 8601.

    Args:
        seconds: since 1970, by default now.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def size_in_words(num_bytes: int) -> str:
    """A size in the unit that suits it, such as `2.5 MiB`."""
    from pydantic import ByteSize

    return ByteSize(num_bytes).human_readable(separator=" ")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get is not None and hasattr(get(), "kernel")


class Reporter:
    """Prints to stderr, in a notebook below the cell, or nowhere.

    Args:
        quiet: print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        # On a page, what goes to stderr is red, and rich makes each line a block of its own.
        self.console = Console(
            stderr=not in_notebook(), force_jupyter=False, quiet=quiet, highlight=False, soft_wrap=True
        )

    def say(self, message: str) -> None:
        """Prints one line."""
        self.console.print(printable(message), markup=False)

    def warn(self, message: str) -> None:
        """Prints one line as a warning."""
        self.console.print(printable(message), style="bold yellow", markup=False)

    def facts(self, title: str, rows: Mapping[str, str]) -> None:
        """Prints names and values as a table."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows.items():
            table.add_row(name, Text(value))
        self.console.print(table)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Prints rows in aligned columns."""
        from rich.table import Table
        from rich.text import Text

        table = Table(*headers, box=None, header_style="cyan")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    @contextmanager
    def bar(self, what: str, total: int, every: int | None = None) -> Iterator[Bar]:
        """Shows the progress of a job while the context is open: a bar on a terminal, a line per minute in a log.

        Args:
            total: number of steps.
            every: also prints a line after this many steps.
        """
        bar = Bar(self.console, what, total, every)
        with bar.shown:
            yield bar


class PageBar:
    """A bar on the page of a notebook, as rich's `Progress` has one on a terminal: there rich needs ipywidgets."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._drawn = 0.0
        self._handle: Any = None

    def __enter__(self) -> None:
        from IPython.display import display

        self._handle = display(self, display_id=True)  # type: ignore[no-untyped-call]

    def __exit__(self, *_: object) -> None:
        from IPython.display import HTML

        self._handle.update(HTML(""))  # type: ignore[no-untyped-call]

    def advance(self, _: int, steps: float = 1) -> None:
        self.done += int(steps)
        if time.perf_counter() - self._drawn > PAGE_SECONDS:
            self._drawn = time.perf_counter()
            self._handle.update(self)

    def update(self, _: int, *, description: str) -> None:
        self.what = description
        self._handle.update(self)

    def __repr__(self) -> str:
        return f"{self.what}: {self.done:,} of {self.total:,}"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{self.total}"></progress>'
        return f"{html.escape(self.what)} {bar} {self.done:,} of {self.total:,}"


class Bar:
    """The progress of one job. A call advances it."""

    def __init__(self, console: Console, what: str, total: int, every: int | None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.what, self.total, self.every = console, what, total, every
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        on_page = in_notebook() and not console.quiet
        self.live, self.done, self._said = console.is_terminal or on_page, 0, time.perf_counter()
        self.shown: Progress | PageBar = PageBar(what, total)
        if not on_page:
            self.shown = Progress(*columns, console=console, transient=True, disable=not self.live)
            self.shown.add_task(what, total=total)

    def __call__(self, steps: int, note: Callable[[], str] | None = None) -> None:
        """Advances the bar by some steps.

        Args:
            note: returns a text to show beside the number of steps. It may be slow, so it is called only when shown.
        """
        before, self.done = self.done, self.done + steps
        self.shown.advance(TASK, steps)
        if self.console.quiet:
            return
        # The owner of the bar reports the result of the last step.
        line = self.every is not None and before // self.every < self.done // self.every < self.total / self.every
        now = time.perf_counter()
        if now - self._said > (LIVE_SECONDS if self.live else LOG_SECONDS):
            self._said, line = now, line or not self.live
            if self.live and note:
                self.shown.update(TASK, description=f"{self.what}, {note()}")
        if line:
            said = f"{self.what}: {self.done:,} of {self.total:,}"
            self.console.print(f"{said}, {note()}" if note else said, markup=False)
