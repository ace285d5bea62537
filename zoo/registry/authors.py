"""Whether a plugin is an editable install: then its user is probably its author."""

from __future__ import annotations

import importlib.metadata
import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def source_folder(distribution: str) -> Path | None:
    """The folder of an editable install (PEP 660); None for any other."""
    with suppress(Exception):  # no metadata, or damaged metadata
        text = importlib.metadata.distribution(distribution).read_text("direct_url.json")
        found = json.loads(text or "{}")
        if found.get("dir_info", {}).get("editable"):
            return Path(url2pathname(urlsplit(found["url"]).path))
    return None
