"""A browser for the tests of the demo's page."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .browsing import CAMERA, CHROMIUM, OPTIONS, TIMEOUT_MS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the page that `demo_server.py` serves."""
    command = [sys.executable, "-m", "tests.demo.demo_server", str(tmp_path_factory.mktemp("demo") / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()  # not kill: its temporary folder goes with it


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *CAMERA], timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, site):
    """Opens the page. At the end: nothing was asked of anybody else, and no script failed.

    `noted` is part of what the browser itself may write to its console.
    """

    @contextmanager
    def visit(*, noted="", **options):
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
        page.set_default_timeout(TIMEOUT_MS)
        hosts, errors = set(), []
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message) or dialog.dismiss())
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        try:
            page.goto(site)
            page.get_by_role("heading", name="colours").wait_for()
            page.locator(".pad canvas").wait_for()
            # The pad's script has run when its paper is white.
            page.wait_for_function(
                "() => document.querySelector('.pad canvas').getContext('2d').getImageData(0, 0, 1, 1).data[3]"
            )
            yield page
            assert hosts - {None} == {"127.0.0.1"}  # None: data: and blob: addresses
            assert [error for error in errors if not noted or noted not in error] == []
        finally:
            page.close()

    return visit


@pytest.fixture
def blue(tmp_path):
    """A picture of 50 by 30 pixels, mostly blue."""
    path = tmp_path / "blue.png"
    Image.fromarray(np.full((30, 50, 3), (20, 40, 200), np.uint8)).save(path)
    return path


@pytest.fixture
def slow_picture(tmp_path):
    """A picture whose heat map takes two seconds."""
    note = PngInfo()
    note.add_text("look", "slowly")
    path = tmp_path / "slow.png"
    Image.new("RGB", (50, 30), "blue").save(path, pnginfo=note)
    return path
