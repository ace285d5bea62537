"""`zoo cache`: the decoded pictures that trainings share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.errors import DataError, MissingExtraError, reason_of
from zoo.progress import size_in_words, timestamp

if TYPE_CHECKING:
    from zoo.data.cache import Entry


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove them. The next training decodes its pictures again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the decoded pictures that trainings share, or remove them."""
    from zoo.data.cache import entries, folder

    try:
        if clear:
            _clear(as_json)
        elif as_json:
            _print_json(entries())
        else:
            print_table(entries())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(
            f"The cache folder {folder()} cannot be used: {reason_of(error)}.",
            "Fix or remove it, or set XDG_CACHE_HOME to another folder.",
        ) from None


def _clear(as_json: bool) -> None:
    from zoo.cli.tables import print_json

    try:
        from zoo.data.cache import clear

        freed, busy = clear()
    except ImportError:  # of filelock
        raise MissingExtraError("Clearing the cache", "train") from None
    if as_json:
        print_json({"freed_bytes": freed, "being_written": busy})
        return
    typer.echo(f"Freed {size_in_words(freed)}." + (f" {busy} more stay: a training is writing them." if busy else ""))


def _print_json(found: list[Entry]) -> None:
    from zoo.cli.tables import print_json
    from zoo.data.cache import folder

    stores = [
        {
            "key": entry.path.name,
            "source": entry.source,
            "num_pictures": entry.num_pictures,
            "image_size": entry.image_size,
            "num_bytes": entry.num_bytes,
            "last_used": timestamp(entry.last_used),
        }
        for entry in found
    ]
    print_json({"folder": str(folder()), "num_bytes": sum(entry.num_bytes for entry in found), "stores": stores})


def print_table(found: list[Entry]) -> None:
    from zoo.cli.tables import print_facts, print_table
    from zoo.data.cache import folder

    rows = []
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
        rows.append(
            (entry.source, f"{entry.num_pictures:,}", str(entry.image_size), size_in_words(entry.num_bytes), used)
        )
    if rows:
        print_table(("pictures of", "count", "px", "size", "last used"), rows)
        typer.echo()
    total = size_in_words(sum(entry.num_bytes for entry in found))
    facts = {
        "total": f"{total} in {folder()}" if rows else f"no decoded pictures in {folder()}",
        "downloaded datasets": f"{folder().parent / 'datasets'}, which this command leaves alone",
    }
    print_facts(facts.items())
