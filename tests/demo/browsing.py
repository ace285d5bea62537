"""A browser for the tests of the demo's page: what a visitor does there. Its fixtures are in conftest.py."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# Chromium's own moving picture, and no question before it is shown.
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
TIMEOUT_MS = 30_000

MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
MISSING += [] if CHROMIUM.exists() else [str(CHROMIUM)]


def need_browser():
    """Skips a module of tests where the browser is missing, but not in CI."""
    if MISSING and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)


def tab(page, name):
    return page.get_by_role("tab", name=name, exact=True)


def open_tab(page, name):
    """Chooses a tab, which on a phone may be in the menu of those that have no room."""
    page.locator("[role=tablist]").first.wait_for()
    if tab(page, name).count():
        tab(page, name).click()
    else:
        page.get_by_role("button", name="More tabs").first.click()
        page.get_by_role("button", name=name, exact=True).click()


def best(page):
    """The most probable class, in large letters."""
    return page.locator("#answer .best")


def draw(page, *points):
    box = page.locator(".pad canvas").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    places = [(x + side * column, y + side * row) for column, row in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def ink(page) -> int:
    """How many pixels of the pad are dark."""
    return page.evaluate(
        "() => { const c = document.querySelector('.pad canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 64; return n; }"
    )
