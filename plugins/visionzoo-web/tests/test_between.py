"""The page in a browser: the camera, and what changes before something that was begun has ended."""

from __future__ import annotations

import re

import pytest
from browsing import BLUE, RED, best, coloured, draw, fire, give, need_browser, visiting

need_browser()


@pytest.fixture
def visit(browser, site, serve):
    return lambda **options: visiting(browser, serve(site)[0], **options)


def hold(page) -> list:
    """Models come when the test says so."""
    held = []
    page.route("**/*.onnx", lambda route: held.append(route))  # noqa: PLW0108 - it needs a function of Python
    return held


def let_go(page, held):
    for route in held:
        route.continue_()
    page.unroute("**/*.onnx")


def choose(page, index):
    page.get_by_label("Model", exact=True).select_option(index)


def middle(page) -> list[int]:
    """The colour of what the model sees."""
    return page.evaluate("() => [...document.querySelector('#seen').getContext('2d').getImageData(9, 9, 1, 1).data]")[
        :3
    ]


def test_a_picture_that_comes_before_the_model_is_the_one_that_is_classified(visit):
    with visit() as page:
        give(page, coloured(RED))
        best(page).get_by_text("red").wait_for()
        held = hold(page)
        choose(page, "1")
        choose(page, "0")
        page.get_by_text("The answer appears here.").wait_for()
        give(page, coloured(BLUE))
        let_go(page, held)
        best(page).get_by_text("blue").wait_for()
        assert middle(page) == list(BLUE)
        # A wrong file is told until another model is chosen.
        give(page, {"name": "a.png", "mimeType": "image/png", "buffer": coloured(RED)["buffer"][:60]})
        page.locator("#answer [role=alert]").get_by_text("This picture is damaged or not complete.").wait_for()
        choose(page, "1")
        page.wait_for_function("() => document.title.startsWith('<img')")
        page.get_by_text("The answer appears here.").wait_for()


def test_a_heat_map_of_the_picture_before_is_not_shown(visit):
    with visit() as page:
        give(page, coloured(RED))
        best(page).get_by_text("red").wait_for()
        page.evaluate(
            "() => document.addEventListener('drop', () => document.querySelector('#look').click(), { once: true })"
        )
        fire(page, "drop", "#drop", coloured(BLUE))
        best(page).get_by_text("blue").wait_for()
        page.locator("#stop").wait_for(state="hidden")
        assert page.locator("#heat").is_hidden()
        assert page.get_by_role("button", name="Show where it looks").is_enabled()


def test_a_check_of_the_model_before_is_not_told(visit):
    with visit() as page:
        held = hold(page)
        page.evaluate(
            """() => {
              document.querySelector('#verify').click();
              document.querySelector('#models').value = 1;
              document.querySelector('#models').dispatchEvent(new Event('change'));
            }"""
        )
        page.locator("#verify:enabled").wait_for(state="attached")
        assert page.locator("#verified").text_content() == ""
        let_go(page, held)
        page.wait_for_function("() => document.title.startsWith('<img')")


def test_the_camera_is_classified_until_it_is_stopped(visit):
    with visit() as page:
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_text("pictures a second").wait_for()
        best(page).get_by_text("green").wait_for()  # Chromium's own picture
        assert page.locator("#answer").get_attribute("aria-live") == "off"
        page.evaluate("() => { window.track = document.querySelector('#video').srcObject.getTracks()[0]; }")
        page.get_by_role("button", name="Stop the camera").click()
        page.locator("#video").wait_for(state="hidden")
        assert page.evaluate("() => document.querySelector('#video').srcObject") is None
        assert page.evaluate("() => window.track.readyState") == "ended"
        assert page.locator("#rate").inner_text() == ""
        page.locator("#details").wait_for()
        # A picture ends it, too.
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_text("pictures a second").wait_for()
        give(page, coloured(RED))
        page.locator("#video").wait_for(state="hidden")
        best(page).get_by_text("red").wait_for()


def test_the_camera_is_stopped_and_used_again_at_once(visit):
    with visit() as page:
        page.evaluate("() => { for (let press = 0; press < 3; press++) document.querySelector('#camera').click(); }")
        page.get_by_text("pictures a second").wait_for()
        page.get_by_role("button", name="Stop the camera").click()
        page.evaluate("() => document.querySelector('#camera').click()")
        page.get_by_text("pictures a second").wait_for()
        assert page.get_by_role("button", name="Stop the camera").is_visible()
        page.wait_for_timeout(300)  # for what the first one would still do
        assert page.evaluate("() => document.querySelector('#video').srcObject.active")
        # Another model ends it and answers to its last picture.
        choose(page, "1")
        page.wait_for_function("() => document.title.startsWith('<img')")
        best(page).wait_for()
        page.get_by_role("button", name="Use the camera").wait_for()
        assert page.locator("#answer [role=alert]").count() == 0


def test_details_of_an_answer_are_not_shown_beside_an_error_of_the_camera(visit):
    with visit() as page:
        give(page, coloured(RED))
        best(page).get_by_text("red").wait_for()
        page.evaluate("() => { navigator.mediaDevices.getUserMedia = async () => { throw new Error('none'); }; }")
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_text(re.compile("No camera was found")).wait_for()
        assert page.locator("#details").is_hidden()


def test_another_model_comes_although_the_one_before_cannot_be_freed(browser, site, serve):
    text = (site / "classifier.js").read_text()
    failing = text.replace("model.session.release()", "Promise.reject(new Error('lost'))")
    assert failing != text
    context = browser.new_context()
    context.route("**/classifier.js", lambda route: route.fulfill(body=failing, content_type="text/javascript"))
    try:
        with visiting(context, serve(site)[0]) as page:
            give(page, coloured(RED))
            best(page).get_by_text("red").wait_for()
            choose(page, "1")
            page.wait_for_function("() => document.title.startsWith('<img')")
            best(page).wait_for()
    finally:
        context.close()


def test_of_models_chosen_quickly_only_the_last_is_downloaded(visit):
    with visit() as page:
        held = hold(page)
        ended = []
        page.on("requestfailed", lambda request: ended.append(request.url))
        choose(page, "1")
        page.wait_for_timeout(300)
        choose(page, "0")
        page.wait_for_timeout(300)
        assert [route.request.url for route in held[:-1]] == [url for url in ended if url.endswith(".onnx")]
        let_go(page, held[-1:])
        page.locator("#loaded").wait_for(state="hidden")
        # Of three in one moment, two end before their download.
        held = hold(page)
        page.evaluate(
            """() => {
              for (const value of [1, 0, 1]) {
                document.querySelector('#models').value = value;
                document.querySelector('#models').dispatchEvent(new Event('change'));
              }
            }"""
        )
        page.wait_for_timeout(300)
        assert len(held) == 1
        let_go(page, held)
        page.wait_for_function("() => document.title.startsWith('<img')")
        assert page.locator("[role=alert]").count() == 0


COUNT = """() => {
  window.told = [];
  new MutationObserver(() => window.told.push(document.querySelector("#status").textContent))
    .observe(document.querySelector("#status"), { childList: true, characterData: true, subtree: true });
  const real = window.fetch;
  window.fetch = async (address, options) => {
    if (!String(address).endsWith(".onnx")) return real(address, options);
    const bytes = new Uint8Array(await (await real(address, options)).arrayBuffer());
    const pieces = new ReadableStream({ async start(sink) {
      for (let at = 0; at < bytes.length; at += 1 + (bytes.length >> 6)) {
        sink.enqueue(bytes.slice(at, at + 1 + (bytes.length >> 6)));
        await new Promise((next) => setTimeout(next, 5));
      }
      sink.close();
    } });
    return new Response(pieces);
  };
}"""


def test_a_screen_reader_is_told_once_that_a_model_comes(visit):
    with visit() as page:
        page.evaluate(COUNT)
        choose(page, "1")
        page.locator("#share").get_by_text(re.compile(r"^[1-9]\d?%$")).wait_for()
        assert page.locator("#loaded").get_attribute("aria-label") == "Loading the model"
        page.wait_for_function("() => document.title.startsWith('<img')")
        assert page.evaluate("window.told") == ["Loading the model", "Starting the model", ""]
        assert page.locator("#share").inner_text() == ""
        assert page.locator("[role=status] #share").count() == 0


def focused(page) -> str:
    """Where the focus is, after the browser has dropped it from what cannot have it."""
    page.evaluate("() => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))")
    return page.evaluate("document.activeElement.id || document.activeElement.localName")


def test_the_focus_of_the_keyboard_is_not_lost(visit):
    with visit() as page:
        give(page, coloured(RED))
        best(page).get_by_text("red").wait_for()
        page.locator("#look").focus()
        # Runs wait until the test says so.
        page.evaluate(
            """async () => {
              const real = Worker.prototype.postMessage;
              const held = [];
              Worker.prototype.postMessage = function (...given) { held.push([this, given]); };
              window.go = () => {
                Worker.prototype.postMessage = real;
                for (const [worker, given] of held) real.apply(worker, given);
              };
            }"""
        )
        page.keyboard.press("Enter")
        page.locator("#stop").wait_for()
        assert focused(page) == "stop"
        page.evaluate("window.go()")
        page.locator("#heat").wait_for()
        assert focused(page) == "look"
        page.locator("#card summary").click()
        page.locator("#verify").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Yes: on 7 reference pictures").wait_for()
        page.locator("#verify:enabled").wait_for()
        assert focused(page) == "verify"
        for button in ("clear", "undo"):
            draw(page, (0.3, 0.3), (0.7, 0.3))
            page.locator(f"#{button}:enabled").focus()
            page.keyboard.press("Enter")
            assert focused(page) == "pad"
