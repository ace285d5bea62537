"""The screen in docs/training.md is what `zoo train` prints, in a pipe and on a terminal of 80 columns."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zoo.cli import app

from ..conftest import write_folder

PAGE = Path(__file__).parents[2] / "docs" / "training.md"
MACHINE = ("data", "device", "precision", "writes to")  # rows that say where it ran


def documented() -> tuple[list[str], str]:
    """The command of the page, and what stands below it."""
    (block,) = re.findall(r"```console\n\$ (zoo train .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    command, _, screen = block.partition("\n")
    return shlex.split(command)[1:], screen


def normalised(screen: str) -> list[str]:
    """Lines without figures, the rows about the machine, and the breaks of long rows."""
    lines: list[str] = []
    for line in screen.splitlines():
        if lines and line.startswith(" " * 14) and line.strip():
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
    masked = [re.sub(r"[\d.,]*\d(e-\d+)?\*?", "0", " ".join(line.split())) for line in lines]
    return [line for line in masked if line and not line.startswith(MACHINE)]


def seen(stream: str) -> str:
    """What stands on a terminal in the end: progress bars clear themselves."""
    screen, row = [""], 0
    for part in re.split(r"(\r\n|\n|\r|\x1b\[[0-9;?]*[A-Za-z])", stream):
        if part in ("\n", "\r\n"):
            row += 1
            screen += [""] * (row == len(screen))
        elif part == "\x1b[2K":
            screen[row] = ""
        elif move := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(move[1])
        elif part != "\r" and not part.startswith("\x1b"):
            screen[row] += part
    return "\n".join(screen)


@pytest.fixture
def place(tmp_path) -> Path:
    write_folder(tmp_path / "photos", {"train": 24, "val": 8, "test": 8})
    return tmp_path


def test_the_page_shows_what_a_pipe_gets(place, monkeypatch):
    monkeypatch.chdir(place)
    arguments, screen = documented()
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    assert normalised(done.output) == normalised(screen)
    tables = [line for line in screen.splitlines() if line.startswith((" ", "*"))]
    assert max(map(len, tables)) <= 80


def test_the_page_shows_what_a_terminal_shows(place):
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
    arguments, screen = documented()
    parent, child = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", *arguments], cwd=place, env=environment, stdin=child, stdout=child, stderr=child
    ) as process:
        os.close(child)
        stream = b""
        while True:
            try:
                part = os.read(parent, 2**16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            stream += part
    os.close(parent)
    assert process.returncode == 0
    assert b"finetune 1/1" in stream  # a bar
    assert normalised(seen(stream.decode())) == normalised(screen)
