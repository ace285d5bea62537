"""A process that may hang, crash or fill its memory: it is killed after a time, and started again."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
START_SECONDS = 120.0


class Process:
    """Runs `child.py` in an empty folder, with another for its temporary files.

    Args:
        folder: holds the two, and its stderr.
    """

    def __init__(self, folder: Path, *arguments: object) -> None:
        self._folder = folder
        # -P: modules beside the child are not to stand in for others of their names.
        self._command = [sys.executable, "-P", str(CHILD), *map(str, arguments)]
        self._process: subprocess.Popen[str] | None = None
        for name in ("tmp", "work"):
            (folder / name).mkdir(parents=True)

    def ask(self, line: object) -> None:
        """Sends a line, to a new process where there is none."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            with (self._folder / "stderr").open("w") as errors:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    cwd=self._folder / "work",
                    env=os.environ | {"TMPDIR": str(self._folder / "tmp")},
                )
            assert self.answer(START_SECONDS) is not None, self.last_words()
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """The next line, or None where the process ended or had to be killed after that time."""
        process = self._process
        assert process
        assert process.stdout
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=lambda: lines.put(process.stdout.readline()))
        reader.start()
        try:
            line = lines.get(timeout=seconds)
        except queue.Empty:
            line = ""
            process.kill()
            process.wait()  # its pipe closes before it is known to have ended
        reader.join()
        return json.loads(line) if line else None

    def last_words(self) -> str:
        """How it ended, and the end of its stderr."""
        assert self._process
        return f"code {self._process.wait()}: {(self._folder / 'stderr').read_text()[-1000:]}"

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
