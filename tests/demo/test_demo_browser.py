"""The demo's page in a real browser: what a visitor does and sees."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .demo_server import NASTY

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
ROOT = Path(__file__).parents[2]
TIMEOUT_MS = 30_000

missing = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
missing += [] if CHROMIUM.exists() else [str(CHROMIUM)]
if missing and os.environ.get("CI") != "true":
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)


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
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=TIMEOUT_MS)
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


def label(page):
    return page.get_by_test_id("label-output-value")


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


def test_an_uploaded_picture_gets_a_label(visit, blue):
    with visit() as page:
        page.get_by_role("tab", name="Upload").click()
        page.set_input_files("input[type=file]", blue)
        label(page).wait_for()
        assert label(page).inner_text() == "blue"
        assert "28 by 28 pixels, from 50 by 30" in page.locator("#seen").inner_text()
        preview = page.locator("[data-testid=image] img, .image-container img").first
        assert preview.evaluate("image => image.naturalWidth") == 50
        page.get_by_role("button", name="Show where it looks").click()
        heat = page.locator("#heat img")
        heat.wait_for()
        assert heat.get_attribute("alt") == "Heat map of the class blue"
        assert "What speaks for blue" in page.locator("#heat").inner_text()
        assert heat.evaluate("image => image.naturalWidth") == 224
        page.get_by_label("Remove Image").click()
        label(page).wait_for(state="detached")
        heat.wait_for(state="detached")


def test_the_page_asks_again_where_the_demo_is_busy(visit, blue):
    with visit(noted="503 (Service Unavailable)") as page:
        turned_away = []

        def busy(route):
            if len(turned_away) < 2:
                turned_away.append(route.request.url)
                route.fulfill(status=503, headers={"retry-after": "1"}, body='{"detail": "The demo is busy."}')
            else:
                route.continue_()

        page.route("**/queue/join*", busy)
        page.get_by_role("tab", name="Upload").click()
        page.set_input_files("input[type=file]", blue)
        label(page).wait_for()
        assert label(page).inner_text() == "blue"
        assert len(turned_away) == 2


def test_a_file_that_is_not_a_picture_gets_a_sentence(visit, tmp_path):
    (tmp_path / "x.png").write_text("<img src=x onerror=alert(4)>")
    # The browser itself notes that it cannot show the preview; nothing else may go wrong.
    with visit() as page:
        page.get_by_role("tab", name="Upload").click()
        page.set_input_files("input[type=file]", tmp_path / "x.png")
        page.get_by_text("The picture cannot be read: it is not a picture of a known format").wait_for()
        assert page.get_by_text("Traceback").count() == 0


def test_a_drawing_gets_a_label_stroke_by_stroke(visit):
    with visit() as page:
        pad = page.locator(".pad")
        assert pad.get_by_role("button", name="Undo").is_disabled()
        draw(page, (0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
        page.get_by_text("What the model sees: 28 by 28 pixels.").wait_for()
        assert label(page).inner_text() in {"red", "green", "blue"}
        one = page.locator("#seen img").get_attribute("src")
        once = ink(page)
        assert once > 1000
        draw(page, (0.3, 0.5), (0.7, 0.5))
        page.wait_for_function("src => document.querySelector('#seen img').src !== src", arg=one)
        assert ink(page) > once
        pad.get_by_role("button", name="Undo").click()
        page.wait_for_function("src => document.querySelector('#seen img').src === src", arg=one)
        assert ink(page) == once
        pad.get_by_role("button", name="Clear").click()
        label(page).wait_for(state="detached")
        assert ink(page) == 0


def test_a_heat_map_that_comes_after_its_picture_went_is_not_shown(visit, tmp_path):
    note = PngInfo()
    note.add_text("look", "slowly")
    path = tmp_path / "slow.png"
    Image.new("RGB", (50, 30), "blue").save(path, pnginfo=note)
    with visit() as page:
        page.get_by_role("tab", name="Upload").click()
        page.set_input_files("input[type=file]", path)
        label(page).wait_for()
        page.evaluate(
            "() => new MutationObserver(() => { window.shown ||= !!document.querySelector('#heat img'); })"
            ".observe(document.querySelector('#heat'), {childList: true, subtree: true})"
        )
        page.get_by_role("button", name="Show where it looks").click()
        page.wait_for_timeout(300)  # on its way
        page.get_by_label("Remove Image").click()
        page.wait_for_function("window.shown === true")  # it has come
        page.locator("#heat img").wait_for(state="detached")


def test_a_drawing_is_looked_at_and_an_empty_pad_is_not(visit):
    with visit() as page:
        look = page.get_by_role("button", name="Show where it looks")
        look.click()
        page.get_by_text("Choose a picture first, or draw one.").wait_for()
        draw(page, (0.3, 0.3), (0.7, 0.7))
        label(page).wait_for()
        look.click()
        page.locator("#heat img").wait_for()
        draw(page, (0.7, 0.3), (0.3, 0.7))
        page.locator("#heat img").wait_for(state="detached")


def test_a_finger_draws_and_does_not_scroll(visit):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(**phone) as page:
        box = page.locator(".pad canvas").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        session = page.context.new_cdp_session(page)
        x, y, side = box["x"], box["y"], box["width"]
        for kind, row in (("touchStart", 0.8), ("touchMove", 0.5), ("touchMove", 0.2), ("touchEnd", None)):
            points = [] if row is None else [{"x": x + side / 2, "y": y + side * row}]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.get_by_text("What the model sees: 28 by 28 pixels.").wait_for()
        assert page.evaluate("document.documentElement.scrollHeight") > 844
        assert page.evaluate("window.scrollY") == 0


def test_the_menu_changes_the_model_and_untrusted_names_stay_text(visit, blue):
    with visit() as page:
        page.get_by_role("tab", name="Upload").click()
        page.set_input_files("input[type=file]", blue)
        label(page).wait_for()
        page.get_by_label("Model").click()
        page.get_by_role("option").nth(1).click()
        page.locator("[role=tab][aria-disabled=true]", has_text="Draw").wait_for()
        page.locator("[role=tab][aria-selected=true]", has_text="Upload").wait_for()
        page.locator("#result dt", has_text="<img").wait_for()
        page.locator("#facts summary").click()
        assert page.locator("#result dt").all_inner_texts() == ["blue", "green", NASTY]
        assert page.locator("#facts h1").inner_text() == NASTY
        assert page.locator("img[src=x]").count() == 0
        page.wait_for_timeout(300)  # an injected picture would fail, and call its handler, by now
