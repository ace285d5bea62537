"""The demo's page in a real browser: what a visitor does and sees."""

from __future__ import annotations

from PIL import Image

from .browsing import best, draw, ink, need_browser, tab
from .demo_server import NASTY

need_browser()


def test_an_uploaded_picture_gets_a_label(visit, blue):
    with visit() as page:
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", blue)
        best(page).wait_for()
        assert best(page).inner_text() == "blue"
        assert "28 by 28 pixels, from 50 by 30" in page.locator("#answer figure").inner_text()
        preview = page.locator("#picture img").first
        assert preview.evaluate("image => image.naturalWidth") == 50
        page.get_by_role("button", name="Show where it looks").click()
        heat = page.locator("#heat img")
        heat.wait_for()
        assert heat.get_attribute("alt") == "Heat map of the class blue"
        assert "What speaks for blue" in page.locator("#heat").inner_text()
        assert heat.evaluate("image => image.naturalWidth") == 224
        page.get_by_label("Remove Image").click()
        best(page).wait_for(state="detached")
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
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", blue)
        best(page).wait_for()
        assert best(page).inner_text() == "blue"
        assert len(turned_away) == 2


def test_a_call_that_was_turned_away_does_not_bring_the_answer_of_the_model_before(visit, blue):
    with visit(noted="503 (Service Unavailable)") as page:
        joined = []

        def busy(route):
            joined.append(route.request.post_data_json["fn_index"])
            if len(joined) == 1:
                route.fulfill(status=503, headers={"retry-after": "4"}, body='{"detail": "The demo is busy."}')
            else:
                route.continue_()

        page.route("**/queue/join*", busy)
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", blue)
        page.wait_for_function("() => document.querySelector('#picture img')")
        page.get_by_label("Model").click()
        page.get_by_role("option").nth(1).click()
        page.locator("#answer .name", has_text="<img").wait_for()
        while joined.count(joined[0]) < 2:  # the call that was turned away
            page.wait_for_timeout(100)
        page.wait_for_timeout(500)
        assert page.locator("#answer .name").all_inner_texts() == ["blue", "green", NASTY]


def test_a_drawing_gets_a_label_stroke_by_stroke(visit):
    with visit() as page:
        pad = page.locator(".pad")
        assert pad.get_by_role("button", name="Undo").is_disabled()
        draw(page, (0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
        page.get_by_text("What the model sees: 28 by 28 pixels.").wait_for()
        assert best(page).inner_text() in {"red", "green", "blue"}
        one = page.locator("#answer img").get_attribute("src")
        once = ink(page)
        assert once > 1000
        draw(page, (0.3, 0.5), (0.7, 0.5))
        page.wait_for_function("src => document.querySelector('#answer img').src !== src", arg=one)
        assert ink(page) > once
        pad.get_by_role("button", name="Undo").click()
        page.wait_for_function("src => document.querySelector('#answer img').src === src", arg=one)
        assert ink(page) == once
        pad.get_by_role("button", name="Clear").click()
        best(page).wait_for(state="detached")
        assert ink(page) == 0


def test_a_heat_map_that_comes_after_its_picture_went_is_not_shown(visit, slow_picture):
    with visit() as page:
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", slow_picture)
        best(page).wait_for()
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
        best(page).wait_for()
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
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", blue)
        best(page).wait_for()
        page.get_by_label("Model").click()
        page.get_by_role("option").nth(1).click()
        page.locator("[role=tab][aria-disabled=true]", has_text="Draw").wait_for()
        page.locator("#one [role=tab][aria-selected=true]", has_text="Picture").wait_for()
        page.locator("#answer .name", has_text="<img").wait_for()
        page.locator("#facts h1", has_text="<img").wait_for()
        page.locator("#facts summary").click()
        assert page.locator("#answer .name").all_inner_texts() == ["blue", "green", NASTY]
        assert page.locator("#facts h1").inner_text() == NASTY
        assert page.locator("img[src=x]").count() == 0
        page.wait_for_timeout(300)  # an injected picture would fail, and call its handler, by now


def test_an_example_of_the_card_gets_an_answer(visit):
    with visit() as page:
        examples = page.locator("#examples button")
        assert [picture.get_attribute("alt") for picture in page.locator("#examples img").all()] == [
            "red",
            "green",
            "blue",
        ]
        assert "picture of the test data" in page.locator("#examples").inner_text()
        examples.nth(2).click()
        best(page).wait_for()
        assert best(page).inner_text() == "blue"
        page.locator("#one [role=tab][aria-selected=true]", has_text="Picture").wait_for()
        assert page.locator("#picture img").evaluate("image => image.naturalWidth") == 20
        examples.nth(1).click()
        page.locator("#answer .best", has_text="green").wait_for()
        page.get_by_label("Model").click()
        page.get_by_role("option").nth(1).click()
        page.locator("#facts h1", has_text="<img").wait_for()
        examples.first.wait_for(state="detached")


def test_a_file_that_does_not_load_is_named(visit):
    with visit() as page:
        page.get_by_text("1 file not shown").click()
        named = page.locator("#left-out li")
        assert named.inner_text().startswith("broken.onnx: The file is damaged. Copy it again.")
        assert NASTY in named.inner_text()


def test_a_picture_of_too_many_pixels_is_refused(visit, tmp_path):
    Image.new("L", (8000, 5001)).save(tmp_path / "large.png")
    with visit() as page:
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", tmp_path / "large.png")
        told = page.locator("#answer [role=alert]")
        told.wait_for()
        assert "the limit is 40,000,000 pixels" in told.inner_text()
