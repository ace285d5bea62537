"""`make test-fast`: which tests belong to a file, and what happens when the minute is over."""

import subprocess
import sys
from pathlib import Path

import pytest

from .fast import ROOT, suite_of

SUITE = """
import time
import pytest


@pytest.mark.parametrize("number", range(6))
def test_slow(number):
    time.sleep(0.4)


def test_quick():
    pass
"""
RUN = """
import sys
import pytest
from tests import fast

fast.SECONDS = float(sys.argv[2])
sys.exit(pytest.main(["-q", "--rootdir", sys.argv[1], "-c", "/dev/null", sys.argv[1]], plugins=[fast.Minute()]))
"""


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("zoo/data/splits.py", "tests/data"),
        ("zoo/transforms/augment/policy.py", "tests/transforms"),
        ("exporters/zoo_exporters/onnx.py", "tests/exporters"),
        ("demo/zoo_demo/page.py", "tests/demo"),
        ("demo/zoo_serve/app.py", "tests/serve"),
        ("tests/data/test_splits.py", "tests/data/test_splits.py"),
        ("tests/attacks/uploads_png.py", "tests/attacks"),
        ("tests/conftest.py", None),
        ("zoo/errors.py", None),
        ("LICENSE", None),
    ],
)
def test_a_file_has_its_tests(changed, expected):
    assert suite_of(changed) == expected
    assert expected is None or (ROOT / expected).exists()


def test_the_quickest_run_first_and_the_others_are_counted(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(SUITE)

    def run(seconds):
        command = [sys.executable, "-c", RUN, tmp_path, str(seconds)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "7 passed" in run(60)  # which learns how long each takes
    said = run(1.5)
    passed = 7 - int(said.partition("Not run: ")[2].partition(" of 7 tests")[0])
    assert 2 <= passed <= 5
    assert f"{passed} passed" in said
