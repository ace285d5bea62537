"""Names of classes: which are impossible, which are one name, and which may be."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoo.data.listing import Listing, quoted, some
from zoo.errors import DataError
from zoo.registry.loading import a_thing
from zoo.specs import MAX_CLASSES

MAX_LENGTH = 1000
MAX_SHOWN = 60  # characters of what should be a list of names
# Control characters, what separates lines, and bytes that are not UTF-8: an exported file cannot hold them.
_IMPOSSIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BETWEEN = re.compile(r"[\s_,;|+&/-]+|\band\b")


def check_classes(classes: Any, origin: str) -> None:
    """Raises `DataError` unless it is a sequence of two or more distinct names that an exported file can hold.

    Args:
        origin: where they come from, for a sentence: `the dataset 'x'`.
    """
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not all(isinstance(n, str) for n in classes):
        shown = repr(classes) if len(repr(classes)) <= MAX_SHOWN else a_thing(classes)
        raise DataError(
            f"The class names of {origin} are {shown}, not a list of text.",
            "Give a list of the names, in the order of the labels and logits: ['cat', 'dog']",
            code="classes-type",
        )
    if not 2 <= len(classes) <= MAX_CLASSES:  # noqa: PLR2004
        cause = f"There are {len(classes):,} class names in {origin}, and a classifier has 2 to {MAX_CLASSES:,}."
        raise DataError(cause, "Give one name for each class, in the order of the labels.", code="number-of-classes")
    check_class_names(classes, origin)
    if twice := next((name for name, count in Counter(classes).items() if count > 1), None):
        cause = f"The class name {twice[:100]!r} is in {origin} more than once."
        raise DataError(cause, "Give each class a name of its own.", code="class-twice")


def check_class_names(names: Iterable[str], origin: str) -> None:
    """Refuses names that no exported file can hold, before the training and not after it.

    Args:
        origin: where they come from, for a sentence.

    Raises:
        DataError: a name is empty or too long, or has a character that is not text.
    """
    for name in names:
        reason = None
        if not name.strip():
            reason = "it is empty"
        elif len(name) > MAX_LENGTH:
            reason = f"it has {len(name):,} characters, and the limit is {MAX_LENGTH:,}"
        elif found := _IMPOSSIBLE.search(name):
            kind = "a byte that is not UTF-8" if "\ud800" <= found[0] <= "\udfff" else "a control character"
            reason = f"character {found.start() + 1} is {kind}"
        if reason:
            raise DataError(
                f"The class name {name[:100]!a} in {origin} is impossible: {reason}.",
                "Rename this class.",
                code="impossible-class-name",
            )


def in_one_form(parts: Mapping[str, Listing]) -> dict[str, Listing]:
    """The splits with one spelling for each class name that is there in several Unicode forms, and a note about it.

    macOS takes `é` apart into two characters, other systems and editors do not: https://unicode.org/reports/tr15/
    """
    forms: dict[str, set[str]] = {}
    for part in parts.values():
        for name in set(part.labels):
            forms.setdefault(unicodedata.normalize("NFC", name), set()).add(name)
    renamed = {name: whole for whole, names in forms.items() if len(names) > 1 for name in names}
    if not renamed:
        return dict(parts)
    wholes = sorted(set(renamed.values()))
    note = f"Class names that are written in several Unicode forms are taken as one class: {some(quoted(wholes))}."
    return {
        name: replace(part, labels=[renamed.get(label, label) for label in part.labels], notes=(*part.notes, note))
        for name, part in parts.items()
    }


def matched(name: str, classes: Iterable[str]) -> str | None:
    """The class of this name, in whatever Unicode form."""
    whole = unicodedata.normalize("NFC", name)
    return next((known for known in classes if unicodedata.normalize("NFC", known) == whole), None)


def name_notes(classes: Sequence[str]) -> list[str]:
    """One sentence for names that may be one class, and one for names that look like several."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(_key(name), []).append(name)
    alike = [" and ".join(quoted(names)) for names in groups.values() if len(names) > 1]
    joined = [f"'{name}'" for name in classes if _is_combination(name, groups)]
    notes = []
    if alike:
        notes.append(
            f"Classes whose names differ only in case, spaces, hyphens or leading zeros: {some(alike)}. "
            "If they are one class, give them one name."
        )
    if joined:
        notes.append(
            f"Classes whose names combine other classes: {some(joined)}. A classifier gives one class to each picture, "
            "so it learns them as classes of their own."
        )
    return notes


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold().strip()
    if re.fullmatch(r"-?\d+", plain):
        return str(int(plain))
    return re.sub(r"[\s_-]+", " ", plain)


def _is_combination(name: str, keys: Mapping[str, object]) -> bool:
    parts = [_key(part) for part in _BETWEEN.split(name) if part.strip()]
    # `1-2` or `10 20` may be a range, a date, a version.
    return len(set(parts)) > 1 and all(part in keys and not part.isdecimal() for part in parts)
