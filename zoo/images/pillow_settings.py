"""Pillow's global settings while we decode: the same for everybody, whatever other code in the process has set.

A picture that is decoded while someone has set `LOAD_TRUNCATED_IMAGES` has grey rows in place of what is missing, and
would stay so in the cache. Settings of modules and the filters of warnings are shared by all threads, so the first of
our calls sets them and the last one puts back what it found.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from PIL import Image, ImageFile

# Pillow's own defaults. `zoo.images.read.MAX_PIXELS` is the limit; Pillow refuses twice its number.
_PINNED: tuple[tuple[ModuleType, str, Any], ...] = (
    (ImageFile, "LOAD_TRUNCATED_IMAGES", False),
    (Image, "MAX_IMAGE_PIXELS", 1024**3 // 4 // 3),
)

_lock = threading.Lock()
_users = 0
_filters = warnings.catch_warnings()
_found: dict[str, Any] = {}


@contextmanager
def pinned() -> Iterator[None]:
    """Decoding with Pillow's defaults, and without its warnings about metadata and size."""
    global _users, _filters  # noqa: PLW0603
    with _lock:
        if _users == 0:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _users += 1
        _pin()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _filters.__exit__(None, None, None)
                _put_back()


def _pin() -> None:
    """Keeps what others have set, also while some of our threads were decoding."""
    for module, name, value in _PINNED:
        if getattr(module, name) != value:
            _found[name] = getattr(module, name)
            setattr(module, name, value)


def _put_back() -> None:
    for module, name, value in _PINNED:
        found = _found.pop(name, value)
        if getattr(module, name) == value:  # otherwise, someone has set it meanwhile
            setattr(module, name, found)
