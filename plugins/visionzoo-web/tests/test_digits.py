"""Sixty digits are drawn on the page, and the model of `make train` reads them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import need_browser, visiting

need_browser()
DIGITS = Path(__file__).parents[3] / "tests" / "digits.py"
# The answer to the whole drawing, not to its first strokes: it stays.
SETTLED = """
() => new Promise((done) => {
  const answer = document.querySelector('#answer');
  let timer = setTimeout(() => done(answer.querySelector('.best').textContent), 700);
  new MutationObserver((_, observer) => {
    clearTimeout(timer);
    timer = setTimeout(() => { observer.disconnect(); done(answer.querySelector('.best').textContent); }, 700);
  }).observe(answer, { childList: true });
})
"""


def shared_digits():
    """The drawings of the project's tests, which this distribution does not install."""
    spec = importlib.util.spec_from_file_location("digits", DIGITS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digits_read(page) -> list[bool]:
    """Draws all digits and says which were read."""
    digits, right = shared_digits(), []
    for digit, strokes in digits.sixty():
        page.evaluate(digits.DRAW, ["#pad", strokes])
        right.append(page.evaluate(SETTLED) == str(digit))
        page.get_by_role("button", name="Clear").click()
    return right


@pytest.mark.slow
def test_most_drawn_digits_are_read(browser, serve, tmp_path):
    for command in (["train", "resnet18", "mnist", "--output", "run"], ["export", "run", "--web", "site"]):
        subprocess.run([sys.executable, "-m", "zoo", *command], check=True, cwd=tmp_path)
    with visiting(browser, serve(tmp_path / "site")[0]) as page:
        assert sum(digits_read(page)) >= 57
