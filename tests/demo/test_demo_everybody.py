"""The page for everybody: camera, clipboard, keyboard, screen readers, small and dark screens, two languages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from .browsing import best, draw, ink, need_browser, tab

need_browser()

AXE = Path(__file__).parents[1] / "web/node_modules/axe-core/axe.min.js"
# Gradio's own: the name of its button is not what stands on it.
GRADIOS = [["#picture button.upload-container"]]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_picture_of_the_camera_gets_an_answer(visit):
    with visit() as page:
        tab(page, "Picture").click()
        page.get_by_label("Capture from camera").click()
        page.get_by_text("Click to Access Webcam").click()
        page.wait_for_function("() => document.querySelector('#picture video')?.videoWidth > 0")
        page.get_by_label("capture photo").click()
        best(page).wait_for()
        assert "from 640 by 480" in page.locator("#answer figcaption").inner_text()


def test_a_picture_from_the_clipboard_gets_an_answer(visit, site):
    with visit() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.rstrip("/"))
        page.evaluate(
            "async () => { const c = new OffscreenCanvas(40, 20); const d = c.getContext('2d');"
            "d.fillStyle = '#00f'; d.fillRect(0, 0, 40, 20);"
            "await navigator.clipboard.write([new ClipboardItem({'image/png': await c.convertToBlob()})]); }"
        )
        tab(page, "Picture").click()
        page.get_by_label("Paste from clipboard").click()
        best(page).wait_for()
        assert best(page).inner_text() == "blue"
        assert "from 40 by 20" in page.locator("#answer figcaption").inner_text()


def test_a_dropped_picture_gets_an_answer_and_a_small_one_is_enlarged(visit, tmp_path):
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "small.png")
    data = list((tmp_path / "small.png").read_bytes())
    with visit() as page:
        tab(page, "Picture").click()
        dropped = page.evaluate_handle(
            "data => { const t = new DataTransfer();"
            "t.items.add(new File([new Uint8Array(data)], 'small.png', {type: 'image/png'})); return t; }",
            data,
        )
        page.get_by_label("Drop an image file here to upload").dispatch_event("drop", {"dataTransfer": dropped})
        best(page).wait_for()
        assert best(page).inner_text() == "blue"
        assert page.locator("#picture img").bounding_box()["width"] > 200


def test_keys_draw(visit):
    with visit() as page:
        before = ink(page)
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.tagName") == "CANVAS":
                break
        for key in ("Space", *["ArrowDown"] * 5, "Space", "ArrowRight", "Space", *["ArrowUp"] * 5):
            page.keyboard.press(key)
        assert "Arrow keys move the pen" in page.locator(".pad canvas").get_attribute("aria-label")
        page.keyboard.press("Tab")  # which lifts the pen
        best(page).wait_for()
        assert ink(page) > before + 1000
        undo = page.get_by_role("button", name="Undo")
        assert undo.evaluate("button => button === document.activeElement")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        best(page).wait_for(state="detached")
        assert page.locator("#answer").inner_text().startswith("The answer appears here.")


def test_the_answer_is_a_live_region_and_is_seen_on_a_phone(visit):
    with visit(**PHONE) as page:
        answer = page.locator("#answer [aria-live]")
        draw(page, (0.3, 0.2), (0.7, 0.8))
        best(page).wait_for()
        assert (answer.get_attribute("role"), answer.get_attribute("aria-live")) == ("status", "polite")
        box = page.locator("#answer .bars li").first.bounding_box()
        assert box["y"] + box["height"] <= 844
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, scheme):
    with visit(color_scheme=scheme) as page:
        draw(page, (0.3, 0.2), (0.7, 0.8))
        best(page).wait_for()
        page.get_by_role("button", name="Show where it looks").click()
        page.locator("#heat img").wait_for()
        page.locator("#facts summary").click()
        assert findings(page) == []
        tab(page, "Picture").click()
        assert findings(page) == []


def findings(page):
    page.evaluate(AXE.read_text(encoding="utf-8"))  # the page's policy allows no script that is added to it
    found = page.evaluate("async gradio => (await axe.run({exclude: gradio})).violations", GRADIOS)
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def test_a_heat_map_can_be_stopped(visit, slow_picture):
    with visit() as page:
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", slow_picture)
        best(page).wait_for()
        page.get_by_role("button", name="Show where it looks").click()
        page.locator("#heat progress").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Show where it looks").wait_for()
        assert page.locator("#heat").inner_text() == ""
        assert page.locator("#heat img").count() == 0


def test_a_wrong_file_is_told_once(visit, tmp_path):
    (tmp_path / "x.png").write_text("<img src=x onerror=alert(4)>")
    with visit() as page:
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", tmp_path / "x.png")
        told = page.locator("#answer [role=alert]")
        told.wait_for()
        assert "it is not a picture of a known format" in told.inner_text()
        assert page.get_by_text("it is not a picture of a known format").count() == 1
        assert page.get_by_text("Error", exact=True).count() == 0
        assert page.locator("#picture img:visible").count() == 0


def test_the_browser_decides_the_language(visit):
    with visit(locale="zh-CN") as page:
        assert page.get_by_role("tab", name="单张图片").count() == 1
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        draw(page, (0.3, 0.2), (0.7, 0.8))
        page.get_by_text("模型看到的图像").wait_for()
        assert "red, green, blue。" in page.locator("#facts").inner_text()
        assert page.get_by_role("button", name="撤销").count() == 1


def test_a_language_can_be_set(browser, tmp_path):
    command = [sys.executable, "-m", "tests.demo.demo_server", str(tmp_path / "log"), "zh"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        page = browser.new_page(locale="en-US")
        try:
            page.goto(process.stdout.readline().strip())
            page.get_by_role("tab", name="单张图片").wait_for()
            draw(page, (0.3, 0.2), (0.7, 0.8))
            page.get_by_text("模型看到的图像").wait_for()
        finally:
            page.close()
            process.terminate()
