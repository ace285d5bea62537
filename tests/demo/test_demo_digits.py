"""Sixty digits are drawn on the page, and the model of `make train` reads them."""

from __future__ import annotations

import base64
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from zoo.images import read_picture
from zoo_demo.drawing import digit_from_strokes
from zoo_demo.models import loaded
from zoo_demo.server import running

from ..attacks.site import wait_until
from ..digits import DRAW, sixty
from .browsing import need_browser

need_browser()


def test_the_digits_differ_and_stay_on_the_pad():
    drawn = list(sixty())
    assert [digit for digit, _ in drawn] == [digit for digit in range(10) for _ in range(6)]
    assert all(0 <= value <= 1 for _, strokes in drawn for stroke in strokes for point in stroke for value in point)
    assert len({digit_from_strokes(strokes).tobytes() for _, strokes in drawn}) == 60


def shows(page, want) -> bool:
    """Whether the answer is that to the whole drawing, not to its first strokes."""
    view = page.locator("#answer img")
    if not view.count():
        return False
    file = base64.b64decode(view.get_attribute("src").partition(",")[2])
    return np.abs(read_picture(file).astype(int) - want).mean() < 1


@pytest.mark.slow
def test_most_drawn_digits_are_read(browser, tmp_path):
    run = tmp_path / "run"
    for command in (["train", "resnet18", "mnist", "--output", run], ["export", run, "--onnx"]):
        subprocess.run([sys.executable, "-m", "zoo", *map(str, command)], check=True, cwd=tmp_path)
    right = []
    with loaded([run / "export/model.onnx"]) as models, running(models, "127.0.0.1") as site:
        page = browser.new_page()
        page.goto(site)
        page.get_by_text("The answer appears here.").wait_for()
        for digit, strokes in sixty():
            page.evaluate(DRAW, [".pad canvas", strokes])
            assert wait_until(partial(shows, page, digit_from_strokes(strokes)), 30)
            right.append(page.locator("#answer .best").inner_text() == str(digit))
            page.get_by_role("button", name="Clear").click()
            page.locator("#answer .best").wait_for(state="detached")
        page.close()
    assert sum(right) >= 57
