"""Makes docs/images/demo.png: the demo of an exported model, with a digit drawn on its pad.

python docs/screenshot_demo.py [ARTIFACT]    (default: the newest run's; needs the extra `dev` and Chromium)
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from zoo_demo.models import loaded, newest_artifact
from zoo_demo.server import running

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
TARGET = Path(__file__).parent / "images" / "demo.png"
FIVE = [
    [(0.68, 0.22), (0.38, 0.22), (0.35, 0.47), (0.52, 0.43), (0.66, 0.53), (0.64, 0.70), (0.48, 0.78), (0.33, 0.71)]
]


def main() -> None:
    artifact = Path(sys.argv[1]) if len(sys.argv) > 1 else newest_artifact()
    with loaded([artifact]) as models, running(models, "127.0.0.1") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1100, "height": 960}, device_scale_factor=1.5)
        page.goto(url)
        pad = page.locator(".pad canvas")
        pad.wait_for()
        page.wait_for_timeout(1000)
        box = pad.bounding_box()
        assert box is not None
        for stroke in FIVE:
            places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            page.mouse.move(*places[0])
            page.mouse.down()
            for place in places[1:]:
                page.mouse.move(*place, steps=6)
            page.mouse.up()
        page.get_by_text("What the model sees").wait_for()
        page.get_by_role("button", name="Show where it looks").click()
        page.locator("#heat img").wait_for()
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)
        TARGET.parent.mkdir(exist_ok=True)
        page.screenshot(path=TARGET)
        browser.close()
    print(TARGET)


if __name__ == "__main__":
    main()
