"""Pieces of HTML. Text stays text: no part of a name or a path becomes markup."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence
from html import escape
from io import BytesIO

# https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def text(value: str) -> str:
    """Escaped, for content and for quoted attributes."""
    return escape(clean(value))


def clean(value: str) -> str:
    """Replaces characters that a document must not contain or that change the direction of writing."""
    return "".join("\ufffd" if _forbidden(character) else character for character in value)


def _forbidden(character: str) -> bool:
    # Control characters and surrogates: file names may have bytes that are not text.
    control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
    return control or unicodedata.bidirectional(character) in _TURNS


def name(value: str) -> str:
    """Text that cannot change the direction of writing around it."""
    return f"<bdi>{text(value)}</bdi>"


def count(number: int, noun: str, ending: str = "s") -> str:
    """A number and its noun, in the plural if needed."""
    return f"{number:,} {noun if number == 1 else noun + ending}"


def section(title: str, content: str) -> str:
    return f"<section><h2>{text(title)}</h2>\n{content}</section>"


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], names: Collection[int]) -> str:
    """A table that scrolls on narrow screens.

    Args:
        title: for screen readers.
        rows: of cells in HTML.
        names: the columns with words; the others have numbers.
    """

    def cell(column: int, content: str) -> str:
        kind = " class='name'" if column in names else ""
        return f"<th scope='row'{kind}>{content}</th>" if column == 0 else f"<td{kind}>{content}</td>"

    head = "".join(
        f"<th scope='col'{' class=name' if column in names else ''}>{text(header)}</th>"
        for column, header in enumerate(headers)
    )
    body = "\n".join(f"<tr>{''.join(cell(*pair) for pair in enumerate(row))}</tr>" for row in rows)
    return (
        f"<div class='wide' role='region' aria-label='{text(title)}' tabindex='0'><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values, both escaped here. Empty values are left out."""
    return table(title, (title, ""), ((text(term), text(value)) for term, value in rows if value), names={0, 1})


def png(buffer: BytesIO) -> str:
    """A PNG as a data URI."""
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode("ascii")
