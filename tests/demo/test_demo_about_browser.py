"""The tab about a model in a real browser, and a page with a password."""

from __future__ import annotations

import sys

import pytest

from .browsing import need_browser, open_tab, tab
from .demo_server import NASTY
from .private_server import CREDENTIALS
from .test_demo import started
from .test_demo_everybody import findings

need_browser()

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def choose(page, number):
    page.get_by_label("Model").click()
    page.get_by_role("option").nth(number).click()


def unfold(page):
    """Opens the tab about the second model with all its parts, and checks the file."""
    choose(page, 1)
    open_tab(page, "About the model")
    page.locator("#about h2").first.wait_for()
    for summary in page.locator("#about summary").all():
        summary.click()
    page.get_by_role("button", name="Check this file now").click()
    page.locator("#checked .verdict").wait_for()


def test_the_tab_tells_the_card_of_the_chosen_model_and_checks_its_file(visit):
    with visit() as page:
        about = page.locator("#about")
        assert about.get_by_role("heading").count() == 0
        open_tab(page, "About the model")
        about.get_by_role("heading", name="Integrity").wait_for()
        assert about.get_by_role("heading", name="Training curves").count() == 0
        page.get_by_role("button", name="Check this file now").click()
        page.get_by_text("FAILED: the file of colours is not what its card says.").wait_for()
        assert page.locator("#checked [aria-live=polite] .verdict").count() == 1
        row = page.locator("#checked tr", has_text="Content hash")
        assert row.locator("td").first.inner_text() == "✓ PASSED"
        choose(page, 1)
        about.get_by_role("heading", name="Training curves").wait_for()
        page.locator("#checked .verdict").wait_for(state="detached")
        assert about.get_by_role("img", name="Loss: training from 1 to 0.25").is_visible()
        about.get_by_text("All 3 classes").click()
        assert about.locator(".names li").all_inner_texts() == [NASTY, "green", "blue"]
        assert page.locator("img[src=x]").count() == 0
        page.wait_for_timeout(300)  # an injected picture would fail, and call its handler, by now


def test_the_tab_fits_a_phone(visit):
    with visit(**PHONE) as page:
        unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_tab(visit, scheme):
    with visit(color_scheme=scheme) as page:
        unfold(page)
        assert findings(page) == []


def test_a_page_with_a_password_works_as_others_do(browser, tmp_path, blue):
    user, password = CREDENTIALS.split(":", 1)
    with started([sys.executable, "-m", "tests.demo.private_server", str(tmp_path / "log")]) as process:
        url = process.stdout.readline().split()[0]
        page = browser.new_page(http_credentials={"username": user, "password": password})
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(url)
        tab(page, "Picture").click()
        page.set_input_files("input[type=file]", blue)
        page.locator("#answer .best", has_text="blue").wait_for()
        assert errors == []
        page.close()
