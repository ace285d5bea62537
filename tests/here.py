"""The process of an artifact as a thread of this one: starting it and its imports take longer than most tests."""

from __future__ import annotations

import dataclasses
import os
import threading
from contextlib import contextmanager, nullcontext

import pytest

from zoo.parity import worker
from zoo.parity.process import Process


class Here(Process):
    """Asks `zoo.parity.worker`, without limits of time; `test_parity.py` and `test_children.py` have the processes."""

    def __init__(self, path, spec=None, takes="pixels", device="cpu", **limits):
        how = {"spec": spec and dataclasses.asdict(spec), "input": takes, "device": device}
        (asked, asks), (answered, answers) = os.pipe(), os.pipe()
        self.process, self.late = None, False
        self._time_limit, self._opening_limit, self._opened = 0.0, 0.0, None
        self.stdin, self.stdout = os.fdopen(asks, "wb"), os.fdopen(answered, "rb")
        self._thread = threading.Thread(target=serve, args=(path, how, asked, answers), daemon=True)
        self._thread.start()

    def within(self, seconds):
        return nullcontext()

    def last_words(self):
        return 0, ""

    def kill(self):
        self.close()

    def close(self):
        self.stdin.close()
        self._thread.join()
        self.stdout.close()


def serve(path, how, asked, answers):
    with os.fdopen(asked, "rb") as questions, os.fdopen(answers, "wb") as said:
        worker.serve(path, how, questions, said)


@contextmanager
def artifacts_here():
    """Exports and verifications run artifacts in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.parity.process.Process", Here)
        yield
