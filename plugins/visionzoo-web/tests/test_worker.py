"""The service worker in Node, with a network and a cache of the test."""

from __future__ import annotations

import json

from javascript import needs_node, run

pytestmark = needs_node
SUFFIXES = (".json", ".onnx", ".mjs", ".wasm")

# Answers of the worker to GET requests: null where it leaves one to the browser.
ANSWERS = """
const handlers = {};
const self = { location: "https://host/page/sw.js?v=1", registration: { scope: "https://host/page/" },
  addEventListener: (kind, handler) => { handlers[kind] = handler; } };
const put = () => (given.full ? Promise.reject(new Error("full")) : new Promise(() => {}));
const cache = { match: async () => undefined, put };
const caches = { open: async () => cache };
const fetch = async () => new Response("content");
new Function("self", "caches", "fetch", readFileSync("site/sw.js", "utf8"))(self, caches, fetch);
const answers = {};
for (const path of given.paths) {
  let answered = null;
  const request = { method: "GET", url: new URL(path, self.registration.scope).href };
  handlers.fetch({ request, respondWith: (answer) => { answered = answer; }, waitUntil: () => {} });
  const response = await answered;
  answers[path] = response && [await response.text(), response.headers.get("Cross-Origin-Embedder-Policy")];
}
return answers;
"""


def answers(folder, paths, *, full=False) -> dict:
    code = ANSWERS.replace("site/sw.js", str(folder / "site" / "sw.js"))
    return run(folder, code, {"paths": paths, "full": full})


def test_it_answers_for_the_pages_files_and_no_others(site, tmp_path):
    listed = json.loads((site / "files.json").read_text())
    ours = ["./", "./?model=1", "files.json", *listed["own"], *listed["kept"]]
    ours += [path.relative_to(site).as_posix() for path in site.glob("*/**/*") if path.suffix in SUFFIXES]
    others = ["blog/", "about.html", "blog/index.html", "models/", "vendor/jquery.js", "/", "/index.html", "../pages/"]
    found = answers(tmp_path, ours + others)
    left = ("README.md", "_headers", ".nojekyll")
    assert [path for path in ours if found[path] != ["content", "require-corp"] and path not in left] == []
    assert [path for path in others if found[path] is not None] == []


def test_a_model_comes_while_it_is_stored_and_where_it_cannot_be(tmp_path):
    path = "models/colours-0123456789.onnx"
    for full in (False, True):
        assert answers(tmp_path, [path], full=full)[path] == ["content", "require-corp"]
