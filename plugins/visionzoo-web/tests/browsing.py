"""What a visitor of the page does, with Debian's Chromium."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

NASTY = "<img src=x onerror=alert(1)>${alert(2)}</script><script>alert(3)</script>"
CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# Chromium's own moving picture, and no question before it is shown.
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
TIMEOUT_MS = 60_000
AXE = Path(__file__).parents[3] / "tests" / "web" / "node_modules" / "axe-core" / "axe.min.js"

MISSING = [name for name in ("playwright",) if importlib.util.find_spec(name) is None]
MISSING += [] if CHROMIUM.exists() else [str(CHROMIUM)]


def need_browser():
    """Skips a module of tests where the browser is missing, but not in CI."""
    if MISSING and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)


@contextmanager
def chromium(playwright, *options: str):
    arguments = [*OPTIONS, *CAMERA, *options]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=TIMEOUT_MS)
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def visiting(browser, address: str, *, noted=(), **options):
    """Opens the page. At the end: nothing was asked of anybody else, and no script failed.

    Args:
        browser: or a context of one, whose pages share a cache.
        noted: parts of what the browser itself may write to its console.
    """
    is_context = not hasattr(browser, "new_context")
    page = browser.new_page(**({} if is_context else {"viewport": {"width": 1280, "height": 900}, **options}))
    page.set_default_timeout(TIMEOUT_MS)
    hosts, errors = set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message) or dialog.dismiss())
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    try:
        page.goto(address)
        page.locator("html[data-ready]").wait_for(state="attached")
        yield page
        assert hosts - {""} == {urlsplit(address).netloc}  # "": data: and blob: addresses
        left = [error for error in errors if not any(part in error for part in noted)]
        assert not left, left
    finally:
        page.close()


def file_of(picture, kind="PNG", name="picture", **options) -> dict:
    """A picture as a file for `set_input_files`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return {"name": f"{name}.{kind.lower()}", "mimeType": f"image/{kind.lower()}", "buffer": memory.getvalue()}


def coloured(colour, size=(30, 50)) -> dict:
    return file_of(np.full((*size, 3), colour, np.uint8))


BLUE, RED = (20, 40, 200), (210, 30, 20)


def best(page):
    """The most probable class, in large letters."""
    return page.locator("#answer .best")


def give(page, *files):
    page.locator("#file").set_input_files(list(files) if len(files) > 1 else files[0])


# An event of the browser with files: what a drop and a paste are.
EVENT = """([kind, target, files]) => {
  const data = new DataTransfer();
  for (const { name, type, text } of files) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: data })
    : new DragEvent(kind, { ...options, dataTransfer: data });
  document.querySelector(target).dispatchEvent(event);
}"""


def fire(page, kind, target, *files):
    described = [
        {"name": each["name"], "type": each["mimeType"], "text": base64.b64encode(each["buffer"]).decode()}
        for each in files
    ]
    page.evaluate(EVENT, [kind, target, described])


def draw(page, *points):
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    places = [(box["x"] + box["width"] * column, box["y"] + box["width"] * row) for column, row in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


# Answers of the module that other pages use, for files in base64.
CLASSIFY = """async ([place, files, options]) => {
  const { load, classify, dispose } = await import(new URL("classifier.js", location).href);
  const model = await load(place, options);
  const answers = [];
  for (const { type, text } of files) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const { label, probability, logits, pixels } = await classify(model, new Blob([bytes], { type }));
    const { data, width, height } = pixels;
    let binary = "";
    for (let at = 0; at < data.length; at += 32768) binary += String.fromCharCode(...data.subarray(at, at + 32768));
    answers.push({ label, probability, logits: [...logits], data: btoa(binary), width, height });
  }
  await dispose(model);
  return answers;
}"""


def answers(page, place, files, **options) -> list[dict]:
    """What the page's module answers; `pixels` is what the browser decoded, uint8 `[H, W, 3]`."""
    given = [{"type": each["mimeType"], "text": base64.b64encode(each["buffer"]).decode()} for each in files]
    found = page.evaluate(CLASSIFY, [place, given, options])
    for each in found:
        data = np.frombuffer(base64.b64decode(each.pop("data")), np.uint8)
        each["pixels"] = data.reshape(each["height"], each["width"], 3)
    return found
