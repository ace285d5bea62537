"""A process of other people's code: its answers arrive, and nothing of it stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from zoo.processes.supervised import supervised

BEGIN = "import os, subprocess, sys, time\nfrom zoo.processes.supervised import answering\nsend, given = answering()\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that makes a module and returns its name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))

    def make(body: str) -> str:
        (tmp_path / "other_code.py").write_text(BEGIN + body)
        return "other_code"

    return make


def test_answers_arrive_beside_what_it_prints(module):
    name = module("print('{}'); os.write(1, b'{}\\n'); send({'given': given, 'variable': os.environ['ADDED']}); 1 / 0")
    with supervised(name, "a", "b", environment={"ADDED": "c"}) as process:
        assert process.next(30) == {"given": ["a", "b"], "variable": "c"}
        assert process.next(30) is None
        assert process.how_it_ended() == (
            "It ended the process with exit code 1. Its last line: ZeroDivisionError: division by zero"
        )


def test_a_line_that_is_not_complete_is_no_answer(module):
    with supervised(module("open(sys.argv[1], 'a').write('{\"half\"')")) as process:
        assert process.next(30) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_copy_of_it_answers_nothing(module):
    with supervised(module("copy = os.fork(); copy and os.waitpid(copy, 0); send({'copy': copy})")) as process:
        assert process.next(30)["copy"]
        assert process.next(30) is None


def test_what_it_has_started_ends_with_it(module, tmp_path):
    child = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with supervised(module(f"send({{'pid': {child}.pid}}); time.sleep(600)")) as process:
        pid = process.next(30)["pid"]
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            process.next(0.1)
        assert time.monotonic() - begun < 5
        os.kill(pid, 0)
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split()[2]
        except FileNotFoundError:
            return
        if state == "Z":  # nobody has asked for its exit code
            return
        time.sleep(0.05)
    pytest.fail("it still runs")
