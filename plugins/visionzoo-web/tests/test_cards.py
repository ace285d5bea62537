"""The page in a browser: what cards of models say, and what is wrong with them."""

from __future__ import annotations

import json

from browsing import BLUE, RED, best, coloured, give, need_browser, visiting

need_browser()


def test_another_answer_than_the_cards_is_told(browser, site, serve, changed):
    def shift(card):
        card["reference"]["logits"][3][1] += 0.01 * card["reference"]["spread"]

    with visiting(browser, serve(changed(shift))[0]) as page:
        page.locator("#card summary").click()
        page.get_by_role("button", name="Check this browser").click()
        page.get_by_text("No: on 7 reference pictures the logits differ by 1.0e-2 of their spread").wait_for()


def test_a_hostile_card_is_a_sentence_and_another_model_still_works(browser, serve, changed):
    folder = changed(lambda card: card.update(classes=["a\x00b", "green", "blue"]))
    with visiting(browser, serve(folder)[0]) as page:
        page.locator("#status").get_by_text("The card of this model has control characters in a class.").wait_for()
        assert page.locator("main").is_hidden()
        page.get_by_label("Model", exact=True).select_option("1")
        page.locator("main").wait_for()
        assert page.locator("#status").inner_text() == ""


CONVERTED = {"max": 0.3, "accuracy": {"classifier": 0.984, "artifact": 0.972, "pictures": 1500}}


def test_the_accuracy_of_an_int8_file_is_told_as_its_own(browser, serve, changed):
    folder = changed(lambda card: card.update(precision="int8", parity=CONVERTED))
    with visiting(browser, serve(folder)[0]) as page:
        page.locator("#card summary").click()
        told = dict(zip(*(page.locator(f"#facts {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    assert told["Accuracy before the conversion"] == "98.71% of 1,234 pictures of the test split"
    after = told["Accuracy after the conversion"]
    assert after == "97.20% of 1,500 pictures that were compared (98.40% of them before)"


def test_a_hostile_accuracy_after_the_conversion_is_left_out(browser, serve, changed):
    damaged = {"classifier": "<b>1</b>", "artifact": [1], "pictures": 1e99}
    folder = changed(lambda card: card.update(precision="int8", parity={"accuracy": damaged}))
    with visiting(browser, serve(folder)[0]) as page:
        page.locator("#card summary").click()
        told = page.locator("#facts dt").all_inner_texts()
    assert "Accuracy before the conversion" in told
    assert "Accuracy after the conversion" not in told


def test_a_folder_without_its_model_is_told(browser, serve, changed):
    folder = changed(lambda card: None)
    name = json.loads((folder / "site.json").read_text())["models"][0]["name"]
    (folder / "models" / f"{name}.onnx").unlink()
    with visiting(browser, serve(folder)[0], noted=("404",)) as page:
        page.locator("#status").get_by_text("Check that the folder is complete.").wait_for()


def test_example_pictures_of_the_card_are_offered(browser, serve, changed):
    import base64

    file = base64.b64encode(coloured(BLUE)["buffer"]).decode()
    folder = changed(lambda card: card.update(examples=[{"label": "blue", "file": file}]))
    with visiting(browser, serve(folder)[0]) as page:
        page.get_by_role("button", name="Example picture 1: blue").click()
        best(page).get_by_text("blue").wait_for()
        # Their addresses are given back, whichever model is chosen.
        page.evaluate(
            """() => {
              window.open = new Set();
              const create = URL.createObjectURL;
              URL.createObjectURL = (blob) => { const made = create(blob); window.open.add(made); return made; };
              URL.revokeObjectURL = (address) => window.open.delete(address);
            }"""
        )
        for index in "10":
            page.get_by_label("Model", exact=True).select_option(index)
            page.wait_for_function(f"() => document.title.startsWith('{'c<'[int(index)]}')")
        page.wait_for_function("() => window.open.size === 0")


def test_a_card_of_other_classes_than_the_file_has_is_told(browser, serve, changed):
    def name_four(card):
        card["classes"] = ["a", "b", "c", "d"]
        del card["reference"]

    with visiting(browser, serve(changed(name_four))[0]) as page:
        give(page, coloured(RED))
        told = "The card of this model has another number of classes than the file answers with."
        page.locator("#answer [role=alert]").get_by_text(told).wait_for()


def test_a_check_that_fails_is_told_with_its_reason(browser, site, serve):
    with visiting(browser, serve(site)[0]) as page:
        page.evaluate("() => { Worker.prototype.postMessage = () => { throw new Error('lost.'); }; }")
        page.locator("#card summary").click()
        page.get_by_role("button", name="Check this browser").click()
        page.locator("#verified").get_by_text("The check failed (lost). Load the page again.", exact=True).wait_for()
