"""A visitor who leaves during a batch, and one whom another visitor's batch must not keep waiting."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..attacks.site import wait_until
from .test_batch import png, zipped

httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")
pytest.importorskip("gradio", reason="the demo extra is not installed")

ROOT = Path(__file__).parents[2]


def test_a_batch_ends_when_its_visitor_leaves_and_others_are_answered_meanwhile(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tests.demo.demo_server", str(log)]

    def asked() -> int:
        return len(log.read_text().splitlines()) if log.exists() else 0

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=process.stdout.readline().strip(), trust_env=False, timeout=30) as client:
                slow = zipped(**{f"{number}.png": png("red") + b"half a second" for number in range(60)})
                (path,) = client.post("gradio_api/upload", files={"files": ("slow.zip", slow)}).json()
                functions = client.get("config").json()["dependencies"]
                batch = next(each["id"] for each in functions if len(each["outputs"]) == 4)
                data = {"data": [json.dumps([path]), "colours"], "fn_index": batch, "session_hash": "leaves"}
                assert client.post("gradio_api/queue/join", json=data).status_code == 200
                with client.stream("GET", "gradio_api/queue/data?session_hash=leaves") as stream:
                    next(line for line in stream.iter_lines() if re.search(r"[2-9] of 60", line))
                    begun = time.monotonic()
                    found = httpx.post(f"{client.base_url}api/predict", content=png("blue"), trust_env=False)
                    assert found.json()[0]["label"] == "blue"
                    assert time.monotonic() - begun < 5  # of the thirty seconds of the batch
                assert wait_until(lambda: rests(asked), 20)
                assert asked() < 30
        finally:
            process.terminate()


def rests(asked) -> bool:
    """Whether nothing is asked for longer than a picture takes."""
    before = asked()
    time.sleep(1.5)
    return asked() == before
