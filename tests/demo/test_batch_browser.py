"""Many pictures on the demo's page, in a real browser."""

from __future__ import annotations

import json

import pytest

from .browsing import need_browser, open_tab, tab
from .test_batch import COLOURS, png, zipped
from .test_demo_everybody import PHONE, findings

need_browser()


def give(page, *paths):
    """Chooses files on the tab, and waits until they are uploaded."""
    open_tab(page, "Many pictures")
    page.locator("#batch-files input[type=file]").set_input_files(paths)
    page.locator("#batch-files td a").nth(len(paths) - 1).wait_for()


def column(page, number):
    return page.locator(f"#batch-result .sortable tbody tr > :nth-child({number})").all_inner_texts()


@pytest.fixture
def three(tmp_path):
    """Two pictures, and a broken one whose name is markup."""
    paths = [tmp_path / "2 blue.png", tmp_path / "10 red.png", tmp_path / "<img src=x onerror=alert(5)>.png"]
    for path, data in zip(paths, (png("blue"), png("red"), b"broken"), strict=True):
        path.write_bytes(data)
    return paths


def test_a_batch_with_a_broken_file_is_sorted_by_mouse_and_keys_and_downloaded(visit, three):
    with visit() as page:
        give(page, *three)
        page.get_by_role("button", name="Classify").click()
        page.locator("#batch-result .sortable").wait_for()
        assert page.locator("#batch-progress [role=status]").inner_text() == (
            "2 pictures have an answer. 1 picture has no answer."
        )
        assert "it is not a picture of a known format" in page.locator("#batch-result .unread li").inner_text()
        assert "<img src=x" in page.locator("#batch-result .unread li").inner_text()
        assert column(page, 2) == ["2 blue.png", "10 red.png"]
        label = page.get_by_role("columnheader", name="Label")
        page.get_by_role("button", name="Label", exact=True).click()
        assert (label.get_attribute("aria-sort"), column(page, 3)) == ("ascending", ["blue", "red"])
        page.keyboard.press("Enter")
        assert (label.get_attribute("aria-sort"), column(page, 3)) == ("descending", ["red", "blue"])
        page.get_by_role("button", name="File", exact=True).click()
        assert column(page, 2) == ["2 blue.png", "10 red.png"]  # as numbers
        assert label.get_attribute("aria-sort") == "none"
        page.get_by_role("button", name="Probability", exact=True).click()
        shown = [float(share.strip(">%")) for share in column(page, 4)]
        assert shown == sorted(shown)
        with page.expect_download() as csv:
            page.get_by_role("link", name="Download CSV").click()
        with page.expect_download() as as_json:
            page.get_by_role("link", name="Download JSON").click()
        assert (csv.value.suggested_filename, as_json.value.suggested_filename) == (
            "predictions.csv",
            "predictions.json",
        )
        lines = csv.value.path().read_text().splitlines()
        assert [line.partition(",")[0] for line in lines] == ["file", "2 blue.png", "10 red.png"]
        assert [each["label"] for each in json.loads(as_json.value.path().read_text())] == ["blue", "red"]
        assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_labelled_zip_gets_accuracy_and_a_matrix_also_on_a_phone(visit, tmp_path, scheme):
    members = {f"set/{name}/{number}.png": png(name) for name in COLOURS for number in range(3)}
    members |= {"set/red/wrong.png": png("blue"), "../climbs.png": png("red"), "__MACOSX/x.png": b"x"}
    path = tmp_path / "labelled.zip"
    path.write_bytes(zipped(**members))
    with visit(**PHONE, color_scheme=scheme) as page:
        give(page, path)
        page.get_by_role("button", name="Classify").click()
        page.locator("#batch-result .matrix").wait_for()
        assert page.locator("#batch-result .best").inner_text() == "Accuracy 90.0%"
        assert "red taken for blue: 1 picture" in page.locator("#batch-result .figures li").inner_text()
        rows = page.locator("#batch-result .matrix tr").all_inner_texts()
        assert [row.split("\t") for row in rows] == [
            ["Folder", "red", "green", "blue"],
            ["red", "3", "0", "1"],
            ["green", "0", "3", "0"],
            ["blue", "0", "0", "3"],
        ]
        assert "leads out of the zip" in page.locator("#batch-result .unread li").inner_text()
        assert "1 other file in the zip was skipped" in page.locator("#batch-progress").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        # Gradio's own: the button of its list of files that uploads more of them.
        others = [found for found in findings(page) if found[0] != "nested-interactive"]
        assert others == []


def test_nothing_given_is_told(visit):
    with visit() as page:
        tab(page, "Many pictures").click()
        page.get_by_role("button", name="Classify").click()
        page.locator("#batch-progress [role=alert]").wait_for()
        assert "Choose pictures, or a zip" in page.locator("#batch-progress").inner_text()


def test_a_batch_is_stopped_and_another_tab_answers_meanwhile(visit, tmp_path, slow):
    path = tmp_path / "slow.zip"
    path.write_bytes(zipped(**{f"{number}.png": slow.read_bytes() for number in range(40)}))
    with visit() as page:
        give(page, path)
        page.get_by_role("button", name="Classify").click()
        page.locator("#batch-progress progress").wait_for()
        page.wait_for_function("document.querySelector('#batch-progress progress').value > 1")
        tab(page, "One picture").click()
        tab(page, "Picture").click()
        page.locator("#picture input[type=file]").set_input_files(slow)
        page.locator("#answer .best").wait_for()
        tab(page, "Many pictures").click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped after").wait_for()
        assert 1 < page.locator("#batch-result .sortable tbody tr").count() < 40
        assert page.get_by_role("button", name="Stop").is_disabled()
        assert page.get_by_role("button", name="Classify").is_enabled()


@pytest.fixture
def slow(tmp_path):
    """A picture that takes half a second."""
    path = tmp_path / "slow.png"
    path.write_bytes(png("blue") + b"half a second")
    return path
