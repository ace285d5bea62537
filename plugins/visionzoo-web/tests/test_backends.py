"""What the page runs on: threads where its headers allow them, the GPU where there is one."""

from __future__ import annotations

import pytest
from browsing import BLUE, answers, best, chromium, coloured, give, need_browser, visiting

need_browser()
# A GPU in software, for machines without one.
GPU = (
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
)


def test_threads_where_the_headers_of_the_folder_are_sent(browser, site, serve):
    lines = (site / "_headers").read_text(encoding="utf-8").splitlines()[1:]
    headers = dict(line.strip().split(": ", 1) for line in lines)
    with visiting(browser, serve(site, headers)[0]) as page:
        assert page.evaluate("crossOriginIsolated") is True
        threads = min(4, page.evaluate("navigator.hardwareConcurrency"))
        assert f"{threads} thread{'s' * (threads > 1)}." in page.locator("#backend").inner_text()
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()


@pytest.fixture(scope="module")
def with_gpu(playwright):
    with chromium(playwright, *GPU) as browser:
        page = browser.new_page()
        page.goto("chrome://version")
        if not page.evaluate("() => 'gpu' in navigator"):
            pytest.skip("this Chromium has no WebGPU")
        page.close()
        yield browser


def test_the_gpu_answers_as_the_processor_does(with_gpu, site, serve, files):
    import numpy as np

    import zoo

    address, _ = serve(site)
    picture = coloured(BLUE)
    with visiting(with_gpu, f"{address}?backend=webgpu") as page:
        if page.locator("#backend").inner_text() != "It runs on the GPU, with WebGPU.":
            assert "does not run on this GPU" in page.locator("#status").inner_text()
            pytest.skip("this machine has no WebGPU, and the page says so")
        give(page, picture)
        best(page).get_by_text("blue").wait_for()
        page.locator("#card summary").click()
        page.locator("#verify").click()
        page.get_by_text("Yes: on 7 reference pictures").wait_for()
        models = page.evaluate("() => fetch('site.json').then((found) => found.json())")["models"]
        (found,) = answers(page, f"models/{models[1]['name']}", [picture], backend="webgpu")
        logits = zoo.load(files[1]).logits([picture["buffer"]])[0]
        assert np.abs(np.array(found["logits"]) - logits).max() < 1e-3 * np.ptp(logits)
        page.locator("#webgpu").uncheck()
        page.get_by_text("It runs on WebAssembly").wait_for()
        best(page).get_by_text("blue").wait_for()


def test_without_a_gpu_the_page_says_so_and_goes_on(browser, site, serve):
    address, _ = serve(site)
    with visiting(browser, f"{address}?backend=webgpu", noted=("No available adapters",)) as page:
        if page.evaluate("'gpu' in navigator"):
            page.locator("#status").get_by_text("The model does not run on this GPU").wait_for()
        page.get_by_text("It runs on WebAssembly").wait_for()
        give(page, coloured(BLUE))
        best(page).get_by_text("blue").wait_for()


# A runtime that opens models on a GPU and fails when they run.
FAILING = """export const env = { wasm: {} };
export class Tensor {}
const run = async () => { throw new Error("The device was lost."); };
export const InferenceSession = { create: async () => ({ run, release: async () => {} }) };"""


@pytest.fixture
def failing(browser, site, serve):
    """A page on a GPU that fails."""
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(navigator, 'gpu', { value: {} });")
    stub = {"body": FAILING, "content_type": "text/javascript"}
    context.route("**/ort.webgpu.min.mjs", lambda route: route.fulfill(**stub))
    try:
        with visiting(context, f"{serve(site)[0]}?backend=webgpu") as page:
            page.get_by_text("It runs on the GPU, with WebGPU.").wait_for()
            yield page
            # The reason ends in a full stop, too.
            told = "The model does not run on this GPU (The device was lost). It runs on the processor again."
            page.locator("#status").get_by_text(told, exact=True).wait_for()
            page.get_by_text("It runs on WebAssembly").wait_for()
            assert not page.locator("#webgpu").is_checked()
            assert page.locator("[role=alert]").count() == 0
    finally:
        context.close()


def test_a_picture_on_which_the_gpu_fails_is_answered_by_the_processor(failing):
    give(failing, coloured(BLUE))
    best(failing).get_by_text("blue").wait_for()


def test_the_camera_on_which_the_gpu_fails_is_answered_by_the_processor(failing):
    failing.get_by_role("button", name="Use the camera").click()
    best(failing).get_by_text("green").wait_for()  # Chromium's own picture
    failing.get_by_role("button", name="Use the camera").wait_for()


def test_a_check_in_which_the_gpu_fails_is_made_on_the_processor(failing):
    failing.locator("#card summary").click()
    failing.get_by_role("button", name="Check this browser").click()
    failing.get_by_text("It runs on WebAssembly").wait_for()
    failing.get_by_role("button", name="Check this browser").click()
    failing.get_by_text("Yes: on 7 reference pictures").wait_for()
