"""The page in Firefox, which playwright cannot drive as Debian has it: a page of the tests does it there."""

from __future__ import annotations

import functools
import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from browsing import file_of

import zoo

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
HERE = Path(__file__).parent
SECONDS = 300
PREFERENCES = """
user_pref("app.normandy.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
"""
PROBE = '<!doctype html><title>probe</title><iframe src="./"></iframe><script type="module" src="probe.js"></script>'

if FIREFOX is None and os.environ.get("CI") != "true":
    pytest.skip("not installed: firefox-esr", allow_module_level=True)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, told: queue.Queue, *arguments, **named):
        self.told = told
        super().__init__(*arguments, **named)

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()


def test_a_visit(site, files, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8) // 4
    noise[..., 2] += 150
    folder = shutil.copytree(site, tmp_path / "site")
    (folder / "probe.png").write_bytes(file_of(noise)["buffer"])
    (folder / "probe.html").write_text(PROBE)
    shutil.copy(HERE / "probe.js", folder)
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(PREFERENCES)
    told: queue.Queue = queue.Queue()
    handler = functools.partial(_Handler, told, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/probe.html"
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile, address]
        environment = os.environ | {"HOME": str(tmp_path), "MOZ_DISABLE_CONTENT_SANDBOX": "1"}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                found = told.get(timeout=SECONDS)
            finally:
                process.terminate()
                server.shutdown()
    assert found["errors"] == []
    assert found["best"] == "blue"
    assert "WebAssembly with SIMD, 1 thread." in found["backend"]
    assert found["verified"].startswith("Yes: on 7 reference pictures")
    assert found["pixels"] == noise.reshape(-1).tolist()
    logits = zoo.load(files[0]).logits([noise])[0]
    assert np.abs(np.array(found["logits"]) - logits).max() < 1e-4 * np.ptp(logits)
