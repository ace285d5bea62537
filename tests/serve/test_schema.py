"""schemathesis (https://schemathesis.readthedocs.io) against running servers: answers are as `openapi.json` says.

Every check applies, because `schema_pictures.py` makes pictures for the bodies. With other bytes, which the description
cannot rule out, `positive_data_acceptance` would fail on a refusal that is right.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the demo extra is not installed")

from ..attacks.site import demo
from ..demo.test_demo import onnx_artifact
from .process import serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("schemathesis"), reason="schemathesis is not installed"),
]
ROOT = Path(__file__).parents[2]
EXAMPLES = 200  # of each route; there are fewer for those without a parameter
SECONDS = 300
TOKEN = "a-token-that-is-long"
# Without it, schemathesis does not take 413 for a refusal of too many files.
SETTINGS = "[checks]\nnegative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 413, 415]\n"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return onnx_artifact(tmp_path_factory.mktemp("schema") / "model.onnx")


def check(url: str, folder: Path, *options: str) -> None:
    (folder / "schemathesis.toml").write_text(SETTINGS)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *options, "--seed", "21",
               "--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-shrink", "--generation-database", "none",
               "--suppress-health-check", "all"]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.serve.schema_pictures", "NO_PROXY": "*"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=folder, env=environment, timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) == int(passed[2]) > 100


def test_zoo_serve_answers_as_it_is_described(artifact, tmp_path):
    with serving(artifact) as site:
        check(f"http://127.0.0.1:{site.port}", tmp_path)
        assert site.figures()['zoo_requests_total{route="/predict",status="200"}'] > 10


def test_a_service_with_a_token_answers_as_it_is_described(artifact, tmp_path):
    with serving(artifact, ZOO_SERVE_TOKEN=TOKEN) as site:
        check(f"http://127.0.0.1:{site.port}", tmp_path, "--header", f"Authorization: Bearer {TOKEN}")


def test_zoo_demo_answers_as_it_is_described(artifact, tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    with demo(artifact, folder) as site:
        check(f"{site.url}api", tmp_path)
        assert site.lines() == []
