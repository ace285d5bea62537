"""Who can correct a plugin: the user, where it is an editable install, or its authors."""

from __future__ import annotations

import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from zoo.registry.lookup import Registered

# Labels of Project-URL in the order in which they say where to report a fault
_PLACES = ("issues", "bugtracker", "tracker", "repository", "source", "homepage")


def source_folder(distribution: str) -> Path | None:
    """The folder of an editable install (PEP 660); None for any other."""
    with suppress(Exception):  # no metadata, or damaged metadata
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
        found = json.loads(text or "{}")
        if found.get("dir_info", {}).get("editable"):
            return Path(url2pathname(urlsplit(found["url"]).path))
    return None


def reporting(entry: Registered[Any]) -> str:
    """What a user does about a fault of a third-party spec, as the beginning of a sentence.

    For example: "Report it to the authors of zoo-mine 1.2 (https://example.org/issues)".
    """
    from zoo.registry.discovery import canonical
    from zoo.registry.given import THIS_PROCESS

    if entry.distribution == THIS_PROCESS or entry.distribution.endswith(".py"):
        return f"Correct the {entry.kind} '{entry.name}' of {entry.distribution}"
    if folder := source_folder(canonical(entry.distribution)):
        return f"Correct the {entry.kind} '{entry.name}' in {folder}"
    place = _place(canonical(entry.distribution))
    return f"Report it to the authors of {entry.release}{f' ({place})' if place else ''}"


def _place(distribution: str) -> str:
    """The address for faults in a distribution's metadata, or an empty text."""
    with suppress(Exception):
        given = importlib.metadata.metadata(distribution).get_all("Project-URL") or []
        parts = [each.partition(",") for each in given]
        urls = {label.strip().lower().replace(" ", ""): url.strip() for label, _, url in parts}
        return next((urls[label] for label in _PLACES if label in urls), "")
    return ""
