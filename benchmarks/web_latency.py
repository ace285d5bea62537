"""How fast a page of `zoo export --web` answers, against onnxruntime on the same machine.

    python benchmarks/web_latency.py MODEL.onnx [--rounds 30]

Prints a table: the time from opening the page to the first answer with an empty cache, over loopback, and the median
latency of one picture of 224 x 224 in the browser with one thread and with several, and in onnxruntime with as many.
Browser and onnxruntime take turns, so that other load hits both.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import http.server
import io
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import zoo
from zoo.exporting.publishing import publish

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SIDE = 224
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
PREPARE = """async ([place, text]) => {
  const module = await import(new URL("classifier.js", location).href);
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  window.bench = { ...module, model: await module.load(place), picture: new Blob([bytes], { type: "image/png" }) };
}"""
ASK = "() => window.bench.classify(window.bench.model, window.bench.picture).then((answer) => answer.milliseconds)"


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, more: dict[str, str], *arguments, **named) -> None:
        self.more = more
        super().__init__(*arguments, **named)

    def end_headers(self) -> None:
        for name, value in self.more.items():
            self.send_header(name, value)
        super().end_headers()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a browser that closes may end a connection early
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


def served(folder: Path, headers: dict[str, str]) -> str:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, headers, directory=folder))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def first_answer(browser, address: str, picture: bytes) -> float:
    """Seconds from opening the page, with an empty cache, to the answer to a picture."""
    context = browser.new_context()
    page = context.new_page()
    started = time.perf_counter()
    page.goto(address)
    page.locator("main").wait_for()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": picture})
    page.locator("#answer .best").wait_for()
    seconds = time.perf_counter() - started
    context.close()
    return seconds


def latencies(browser, address: str, model: Path, picture: bytes, rounds: int) -> tuple[int, float, float]:
    """Threads, and median milliseconds in the browser and in onnxruntime with as many."""
    page = browser.new_page()
    page.goto(address)
    page.locator("html[data-ready]").wait_for(state="attached")
    threads = page.evaluate("() => import('./runtime.js').then((runtime) => runtime.threads())")
    name = page.evaluate("() => fetch('site.json').then((found) => found.json())")["models"][0]["name"]
    page.evaluate(PREPARE, [f"models/{name}", base64.b64encode(picture).decode()])
    predictor = zoo.load(model, threads=threads)
    pixels = np.asarray(Image.open(io.BytesIO(picture)))[None]
    browsers, natives = [], []
    for number in range(rounds + 3):
        taken = page.evaluate(ASK)
        started = time.perf_counter()
        predictor.runtime(pixels)
        if number >= 3:
            browsers.append(taken)
            natives.append(1000 * (time.perf_counter() - started))
    page.close()
    return threads, statistics.median(browsers), statistics.median(natives)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    memory = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(memory, "PNG")
    picture = memory.getvalue()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = publish([given.model], "web", Path(place) / "site").folder
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        plain, isolated = served(folder, {}), served(folder, ISOLATED)
        firsts = [first_answer(browser, plain, picture) for _ in range(5)]
        least, most = min(firsts), max(firsts)
        print(f"first answer, cold: median {statistics.median(firsts):.2f} s, from {least:.2f} to {most:.2f} s")
        print("threads  browser  onnxruntime  times")
        for address in (plain, isolated):
            threads, mine, native = latencies(browser, address, given.model, picture, given.rounds)
            print(f"{threads:7}  {mine:4.1f} ms  {native:8.1f} ms  {mine / native:.1f}")
        browser.close()


if __name__ == "__main__":
    main()
