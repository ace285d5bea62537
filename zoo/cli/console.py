"""Where commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import suppress
from functools import cache
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from zoo.errors import ZooError, reason_of
from zoo.progress import Reporter, printable

if TYPE_CHECKING:
    from rich.console import Console

# A write that fails does not say to which file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def accept_all_text() -> None:
    """Lets stdout and stderr print any text: no name of a file or a class may end a command.

    Bytes of file names that are not text are printed as they are. Characters that the encoding of a stream lacks are
    printed as escapes: `\\u732b`.
    """
    codecs.register_error("zoo", _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="zoo")


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return character.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1


def prints_all_text() -> bool:
    """Whether the encoding of stdout has every character."""
    try:
        return codecs.lookup(getattr(sys.stdout, "encoding", None) or "ascii").name == "utf-8"
    except LookupError:
        return False


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
    Reporter().warn(message)


def process_number() -> int:
    """From 0; others are further processes of a training, which print no results."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def refused(error: OSError) -> ZooError:
    """The error for what the operating system refuses, where no other code has said it better."""
    reason = reason_of(error)
    if error.filename is not None:
        return ZooError(f"'{error.filename}' cannot be used: {reason}.", "Fix that, or name another.")
    if error.errno in NO_ROOM:
        return ZooError(f"The output cannot be written: {reason}.", "Free some space, or write it elsewhere.")
    return ZooError(f"The operating system refuses: {reason}.", "Fix it and run the command again.")


def flush() -> None:
    """Writes what stdout still holds, or gives it up: Python would try as it ends, and say so with a traceback."""
    if sys.stdout is None:  # closed from the start, as a daemon's may be
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def fail(error: ZooError) -> NoReturn:
    """Prints cause and remedy; ends the process with the error's exit code."""
    with suppress(OSError):
        flush()
    show_error(error)
    sys.exit(error.exit_code)


def show_error(error: ZooError) -> None:
    """Prints cause and remedy."""
    where = f" in process {process_number()}" if process_number() else ""
    stderr().print(f"Error{where}: {printable(error.cause)}", style="bold red", markup=False)
    stderr().print(printable(error.remedy), markup=False)
