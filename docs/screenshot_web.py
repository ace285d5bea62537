"""Makes docs/images/web.png: a page of `zoo export --web`, with a digit drawn on its pad and a heat map.

python docs/screenshot_web.py MODEL.onnx    (needs the extra `dev`, visionzoo-web and Chromium)
"""

from __future__ import annotations

import functools
import http.server
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from zoo.exporting.publishing import publish

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
TARGET = Path(__file__).parent / "images" / "web.png"
SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.42, 0.85)]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = publish([Path(sys.argv[1])], "web", Path(place) / "site").folder
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=1.5)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.locator("#pad").wait_for()
        box = page.locator("#pad").bounding_box()
        assert box is not None
        points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in SEVEN]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=10)
        page.mouse.up()
        page.locator("#look").click()
        page.locator("#heat").wait_for()
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=TARGET)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
