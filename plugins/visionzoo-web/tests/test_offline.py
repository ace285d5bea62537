"""The page in a browser without a network, and where its folder changes."""

from __future__ import annotations

import json
import shutil

from browsing import BLUE, RED, TIMEOUT_MS, best, coloured, give, need_browser, visiting

need_browser()
LOST = ("ERR_CONNECTION", "ERR_FAILED", "ERR_SOCKET")
KEPT = "(name) => caches.match(`models/${name}.onnx`).then(Boolean)"


def names(site):
    return [each["name"] for each in json.loads((site / "site.json").read_text())["models"]]


def until(page, code, given=None):
    """Waits for what comes in a promise, which `wait_for_function` takes as true at once."""
    for _ in range(TIMEOUT_MS // 50):
        if page.evaluate(code, given):
            return
        page.wait_for_timeout(50)
    raise AssertionError(code)


def test_the_page_works_without_a_network_after_the_first_visit(browser, site, serve):
    address, server = serve(site)
    context = browser.new_context()
    try:
        with visiting(context, address) as page:
            page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")
            page.reload()  # served by the worker, isolated: threads
            page.locator("html[data-ready]").wait_for(state="attached")
            assert page.evaluate("crossOriginIsolated") is True
            give(page, coloured(BLUE))
            best(page).get_by_text("blue").wait_for()
        server.shutdown()
        server.server_close()
        with visiting(context, address, noted=LOST) as page:
            give(page, coloured(RED))
            best(page).get_by_text("red").wait_for()
    finally:
        context.close()


def test_the_model_that_was_used_is_there_without_a_network_and_no_other(browser, site, serve):
    first, used = names(site)
    address, server = serve(site)
    address += "?model=1"
    context = browser.new_context()
    try:
        with visiting(context, address) as page:
            until(page, KEPT, used)
            page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")
            assert not page.evaluate(KEPT, first)
        server.shutdown()
        server.server_close()
        with visiting(context, address, noted=LOST) as page:
            give(page, coloured(RED))
            best(page).wait_for()
            page.get_by_label("Model", exact=True).select_option("0")
            page.locator("#status").get_by_text("You are offline, and this model was not loaded before.").wait_for()
    finally:
        context.close()


def test_a_page_whose_folder_was_replaced_is_told_to_be_loaded_again(browser, site, serve, tmp_path):
    folder = shutil.copytree(site, tmp_path / "site")
    with visiting(browser, serve(folder)[0], noted=("404",)) as page:
        described = json.loads((folder / "site.json").read_text())
        name = described["models"].pop()["name"]
        (folder / "site.json").write_text(json.dumps(described))
        (folder / "models" / f"{name}.onnx").unlink()
        page.get_by_label("Model", exact=True).select_option("1")
        page.locator("#status").get_by_text("This page has a newer version. Load it again.").wait_for()


def test_a_new_version_keeps_the_model_that_was_used(browser, site, serve, tmp_path):
    folder = shutil.copytree(site, tmp_path / "site")
    address, _ = serve(folder)
    context = browser.new_context()
    try:
        with visiting(context, f"{address}?model=1") as page:
            page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")
            until(page, KEPT, names(site)[1])
        described = json.loads((folder / "files.json").read_text()) | {"version": "newer"}
        (folder / "files.json").write_text(json.dumps(described))
        with visiting(context, address) as page:
            newer = "() => caches.keys().then((keys) => keys.length === 1 && keys[0].endsWith(' newer'))"
            until(page, newer)
            assert page.evaluate(KEPT, names(site)[1])
    finally:
        context.close()
