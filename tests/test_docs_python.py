"""The page about the Python face: its examples run as they stand, and mypy takes them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

PAGE = Path(__file__).parents[1] / "docs/python.md"


def script() -> str:
    """All examples in one, with a network that trains in a blink."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 9
    return "\n".join(blocks).replace('"resnet18", "photos"', '"tiny", "photos", image_size=24')


def test_the_examples_run(bars, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").symlink_to(bars)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(script(), "python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "absent.jpg' cannot be read: no such file" in printed
    assert names["figures"]["top1"] == names["card"].metrics["top1"] == names["run"].metrics["top1"]
    assert names["logits"].shape == (18, 3)


@pytest.mark.slow
def test_the_examples_are_typed(tmp_path):
    (tmp_path / "page.py").write_text(script())
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--disable-error-code=import-untyped",
        tmp_path / "page.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PAGE.parents[1])
    assert done.returncode == 0, done.stdout


def test_every_public_name_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    public = [name for name in vars(zoo.Predictor) if not name.startswith("_")]
    for name in [*(set(zoo.__all__) - {"__version__"}), *public, *zoo.artifacts.predictor.Prediction.__slots__]:
        assert name in text, name
