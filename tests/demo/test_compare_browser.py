"""Models side by side on the demo's page, in a real browser."""

from __future__ import annotations

from .browsing import need_browser, tab
from .demo_server import NASTY
from .test_batch import COLOURS, png, zipped
from .test_demo_everybody import findings

need_browser()


def test_models_are_compared_on_a_picture_and_over_a_zip(visit, blue, tmp_path):
    path = tmp_path / "set.zip"
    path.write_bytes(zipped(**{f"{name}/{number}.png": png(name) for name in COLOURS for number in range(2)}))
    with visit() as page:
        tab(page, "Compare models").click()
        page.locator("#compare-picture input[type=file]").set_input_files(blue)
        page.locator("#compare-answer .columns").wait_for()
        assert page.locator("#compare-answer .best").all_inner_texts() == ["blue", "blue"]
        assert "All models answer blue." in page.locator("#compare-answer [role=status]").inner_text()
        assert page.locator("#compare-answer h2").all_inner_texts() == ["colours", NASTY]
        page.get_by_label("colours", exact=True).uncheck()
        page.locator("#compare-answer [role=alert]").wait_for()
        assert "Choose two to 4" in page.locator("#compare-answer").inner_text()
        page.get_by_label("colours", exact=True).check()
        page.locator("#compare-answer .columns").wait_for()
        page.locator("#compare-files input[type=file]").set_input_files(path)
        page.locator("#compare-files td a").wait_for()
        page.get_by_role("button", name="Compare over many").click()
        page.locator("#compare-result .sortable").wait_for()
        # The second model's first class has another name.
        assert page.locator("#compare-result .best").inner_text() == "Agreement 66.7%"
        assert "do not have the same classes" in page.locator("#compare-result").inner_text()
        differing = page.locator("#compare-result .sortable tbody th").all_inner_texts()
        assert differing == ["red/0.png", "red/1.png"]
        assert page.locator("#compare-result .sortable tbody img").count() == 2
        page.get_by_role("button", name="File", exact=True).click()
        page.get_by_role("button", name="File", exact=True).click()
        assert page.locator("#compare-result .sortable tbody th").all_inner_texts() == differing[::-1]
        assert page.locator("img[src=x]").count() == 0
        # Gradio's own: the button of its list of files that uploads more of them.
        assert [found for found in findings(page) if found[0] != "nested-interactive"] == []
