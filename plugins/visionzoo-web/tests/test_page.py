"""The page in a browser: what a visitor does, and what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from browsing import AXE, BLUE, NASTY, RED, best, coloured, draw, file_of, fire, give, need_browser, visiting

need_browser()


@pytest.fixture
def visit(browser, site, serve):
    return lambda **options: visiting(browser, serve(site)[0], **options)


def seen(page) -> np.ndarray:
    """What the model sees, as shown: uint8 `[S, S, 3]`."""
    data = page.evaluate(
        "() => { const c = document.querySelector('#seen');"
        " return [c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    return np.array(data[1:], np.uint8).reshape(data[0], data[0], 4)[..., :3]


def test_a_picture_is_uploaded_dropped_or_pasted(visit):
    from zoo.specs import PreprocessSpec
    from zoo.transforms.view import model_view

    with visit() as page:
        assert page.title() == "colours"
        assert "nothing is sent" in page.locator("footer").inner_text()
        assert "WebAssembly with SIMD, 1 thread." in page.locator("footer").inner_text()
        noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8) // 4
        noise[..., 2] += 150
        give(page, file_of(noise))
        best(page).get_by_text("blue").wait_for()
        assert "from 60 by 40 pixels." in page.locator("#answer").inner_text()
        assert page.locator("#answer li").count() == 3
        assert page.locator("#preview").get_attribute("src").startswith("blob:")
        shown = seen(page)
        assert np.abs(shown.astype(int) - model_view(noise, PreprocessSpec(image_size=24))).max() <= 1
        fire(page, "drop", "#drop", coloured(RED), coloured(BLUE))
        best(page).get_by_text("red").wait_for()
        assert "the first of 2 was taken" in page.locator("#hint").inner_text()
        page.locator("#pad").focus()
        for key in ("Space", "Space"):
            page.keyboard.press(key)
        assert page.locator("#hint").inner_text() == "or drop one here, or paste one"
        fire(page, "drop", "#drop", coloured(RED), coloured(BLUE))
        page.locator("#hint").get_by_text("the first of 2 was taken").wait_for()
        page.locator("#camera").click()
        assert page.locator("#hint").inner_text() == "or drop one here, or paste one"
        fire(page, "paste", "body", coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        assert page.locator("#answer").get_attribute("aria-live") == "polite"


def test_the_button_opens_the_file_chooser(visit):
    with visit() as page:
        page.locator("#models").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "choose"
        with page.expect_file_chooser() as chooser:
            page.locator("#choose").click()
        chooser.value.set_files(coloured(RED))
        best(page).get_by_text("red").wait_for()


def test_drawing_by_mouse_and_by_keys(visit):
    with visit() as page:
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        draw(page, (0.3, 0.3), (0.7, 0.3), (0.4, 0.8))
        page.get_by_text("from 28 by 28 pixels.").wait_for()
        assert seen(page).max() > 240
        assert page.locator("#preview").is_hidden()
        page.get_by_role("button", name="Clear").click()
        page.get_by_text("The answer appears here.").wait_for()
        assert page.locator("#details").is_hidden()
        assert page.get_by_role("button", name="Undo").is_disabled()
        first = page.locator("#answer").inner_text()
        page.locator("#pad").focus()
        for key in (" ", *["ArrowDown"] * 8, " "):
            page.keyboard.press(key)
        page.wait_for_function("(text) => document.querySelector('#answer').innerText !== text", arg=first)
        assert page.locator("#pad").get_attribute("aria-label").startswith("Drawing pad. Arrow keys")
        assert page.get_by_role("button", name="Undo").is_enabled()


def test_shortcuts_of_the_browser_work_on_the_pad(visit):
    with visit() as page:
        page.locator("#pad").focus()
        code = """(options) => document.querySelector("#pad").dispatchEvent(
          new KeyboardEvent("keydown", { key: "ArrowLeft", cancelable: true, ...options }))"""
        assert not page.evaluate(code, {})  # the pen takes it
        for held in ("altKey", "ctrlKey", "metaKey"):
            assert page.evaluate(code, {held: True}), held


def test_another_model_answers_to_the_same_picture(visit):
    with visit() as page:
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        page.get_by_label("Model", exact=True).select_option("1")
        page.wait_for_function("() => document.title.startsWith('<img')")
        best(page).wait_for()
        # All its texts are hostile, and none becomes markup.
        assert page.locator("h1").inner_text().startswith("<img src=x onerror=alert(1)>")
        page.locator("#card summary").click()
        assert page.locator("#facts dd").filter(has_text=NASTY[:60]).count() >= 4
        assert page.locator("h1 img, #answer img, #facts img, body script").count() == 0
        assert page.locator("#drawing").is_hidden()


def test_this_browser_answers_as_the_card_says(visit):
    with visit() as page:
        page.locator("#card summary").click()
        for index in "01":
            page.get_by_label("Model", exact=True).select_option(index)
            page.wait_for_function(f"() => document.title.startsWith('{'c<'[int(index)]}')")
            page.get_by_role("button", name="Check this browser").click()
            page.get_by_text("Yes: on 7 reference pictures").wait_for()


def test_a_wrong_file_and_a_huge_one_are_told(visit):
    with visit() as page:
        wrong = page.locator("#answer [role=alert]")
        give(page, {"name": "a.png", "mimeType": "image/png", "buffer": b"this is not a picture"})
        wrong.get_by_text("This file is not a picture that this browser can read.").wait_for()
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        from PIL import Image

        give(page, file_of(Image.new("1", (9000, 7000))))
        wrong.get_by_text("The picture has 9000 by 7000 pixels").wait_for()
        give(page, file_of(Image.new("1", (20000, 2))))
        wrong.get_by_text("The picture has 20000 by 2 pixels").wait_for()
        assert page.locator("#details").is_hidden()
        give(page, file_of(Image.new("RGB", (4000, 3000), RED)))  # as of a phone
        best(page).get_by_text("red").wait_for()


def test_heat_maps_are_those_of_zoo_and_can_be_stopped(visit, files):
    import zoo

    picture = np.random.default_rng(2).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    code = """async ([place, bytes, width, index]) => {
      const { load, dispose } = await import(new URL("classifier.js", location).href);
      const { heatMap } = await import(new URL("heat.js", location).href);
      const model = await load(place);
      const pixels = { data: Uint8Array.from(bytes), width, height: bytes.length / width / 3 };
      const { values, rows, method } = await heatMap(model, pixels, index);
      await dispose(model);
      return { values: [...values], rows, method };
    }"""
    with visit() as page:
        models = page.evaluate("() => fetch('site.json').then((found) => found.json())")["models"]
        for path, model, method in zip(files, models, ("occlusion", "maps"), strict=True):
            expected = zoo.load(path).heat_map(picture)
            index = zoo.load(path).classes.index(expected.label)
            found = page.evaluate(code, [f"models/{model['name']}", picture.reshape(-1).tolist(), 44, index])
            assert found["method"] == expected.method == method
            values = np.reshape(found["values"], (found["rows"], -1))
            assert np.abs(values - expected.values).max() < 0.03 * np.abs(expected.values).max()
        give(page, file_of(picture))
        best(page).wait_for()
        page.get_by_role("button", name="Show where it looks").click()
        page.locator("#heat").wait_for()
        assert page.locator("#heat-map").get_attribute("aria-label").startswith("Heat map of the class ")
        page.evaluate("() => { document.querySelector('#look').click(); document.querySelector('#stop').click(); }")
        page.locator("#stop").wait_for(state="hidden")
        assert page.get_by_role("button", name="Show where it looks").is_enabled()


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 390, "height": 800}},
        {"color_scheme": "dark"},
        {"locale": "zh-CN", "viewport": {"width": 390, "height": 800}},
    ],
    ids=["phone", "dark", "Chinese"],
)
def test_phones_the_dark_and_chinese_without_a_finding_of_axe(visit, options):
    with visit(**options) as page:
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        page.locator("#look").click()
        page.locator("#heat").wait_for()
        page.locator("#card summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        if "locale" in options:
            assert page.locator("html").get_attribute("lang") == "zh-CN"
            assert page.get_by_role("button", name="选择图片").is_visible()
        if not AXE.exists():
            pytest.skip("not installed: axe-core (npm install in tests/web)")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        summary = "({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)])"
        found = page.evaluate(f"() => axe.run().then({summary})")
        assert found == []


def test_the_example_for_a_page_of_ones_own(browser, site, serve, tmp_path):
    import re
    import shutil
    from pathlib import Path

    docs = (Path(__file__).parents[3] / "docs" / "web.md").read_text(encoding="utf-8")
    (example,) = [each for each in re.findall(r"```html\n(.*?)```", docs, re.DOTALL) if "classifier.js" in each]
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "own.html").write_text(f"<!doctype html><html data-ready><title>own</title>{example}")
    with visiting(browser, f"{serve(folder)[0]}own.html", noted=("404",)) as page:  # it has no icon
        page.locator("#answer").get_by_text("blue: 0.").wait_for()
