"""`benchmarks/serve.py` in small: many clients at once, and others that stall or leave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("uvicorn", reason="the serve extra is not installed")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_2000_requests_of_200_clients_are_answered_or_declined(model, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(50):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    command = [sys.executable, ROOT / "benchmarks/serve.py", "--pairs", "1", "--results", tmp_path / "results"]
    subprocess.run([*command, "--case", model, folder], check=True, timeout=600, capture_output=True)
    records = json.loads((tmp_path / "results" / "serve.json").read_text())["records"]
    sides = {record["side"]: record for record in records}
    for side in ("batches", "single"):
        found = sides[side]
        assert (found["answered"] + found["declined"], found["lost"]) == (2000, 0)
        assert found["answered"] > 1000
    before, after = sides["batches"]["mib"]
    assert after < 1.1 * before
    assert sides["batches"]["batch"] > 2
    assert sides["single"]["batch"] == 1
