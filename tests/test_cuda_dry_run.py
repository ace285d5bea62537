"""The tests of a GPU, tried on a CPU: they are to tell all in their first run on one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["test_fp16.py", pytest.param(".", marks=pytest.mark.slow)])
def test_they_pass_on_a_cpu(name, tmp_path):
    options = ("--config-file", ROOT / "pyproject.toml", "--rootdir", ROOT, "-m", "cuda", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, ROOT / "tests" / "cuda" / name]
    environment = {**os.environ, "ZOO_TEST_DEVICE": "cpu"}
    done = subprocess.run(
        [str(word) for word in command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "a dry run on a CPU" in done.stdout
    assert " passed" in done.stdout
