"""`make test-fast`: the tests that a change touches, the quickest first, for at most a minute.

    python -m tests.fast [FILE...]

The change is what differs from the last commit, or the files that are named. Tests of the same folder count, and those
of the structure, the words and the docs. How long a test takes is known from the last time that it ran here.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 50.0
ALWAYS = ("tests/test_architecture.py", "tests/test_words.py", "tests/test_errors.py")
FOLDERS = {"exporters": "tests/exporters", "demo": "tests/demo", "plugins": "tests/plugins", "docs": "tests/cli"}
MEMORY = "fast/seconds"


def changed() -> list[str]:
    """Paths that differ from the last commit, those that it does not know included."""
    commands = (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    said = (subprocess.run(["git", *each], cwd=ROOT, capture_output=True, text=True, check=True) for each in commands)
    return [name for each in said for name in each.stdout.splitlines()]


def suite_of(path: str) -> str | None:
    """The tests for a changed file: itself, or the folder that is named like its module."""
    parts = Path(path).parts
    if parts[0] == "tests":
        return path if Path(path).name.startswith("test_") else str(Path(*parts[:2])) if len(parts) > 2 else None
    if parts[0] == "zoo" and len(parts) > 2:
        return f"tests/{parts[1]}"
    if parts[:2] == ("demo", "zoo_serve"):
        return "tests/serve"
    return FOLDERS.get(parts[0])


class Minute:
    """Runs the quickest tests first, and stops when the time is over."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.ends, self.left, self.total = time.monotonic() + SECONDS, 0, 0

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self.seconds = config.cache.get(MEMORY, {}) if config.cache else {}
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.5))  # stable: unknown ones keep their order
        self.ends, self.total = time.monotonic() + SECONDS, len(items)

    def pytest_runtest_logreport(self, report: Any) -> None:
        before = self.seconds.get(report.nodeid, 0.0) if report.when != "setup" else 0.0
        self.seconds[report.nodeid] = before + report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        expected = self.seconds.get(item.nodeid, 0.5)
        if time.monotonic() + expected <= self.ends:
            return None
        self.left += 1
        return True  # handled: it does not run

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.cache:
            session.config.cache.set(MEMORY, self.seconds)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.left:
            terminalreporter.write_line(f"Not run: {self.left} of {self.total} tests. `make test` runs them all.")


def main(paths: list[str]) -> int:
    """Runs the tests of the changed files. Returns pytest's exit code."""
    found = {name for path in paths or changed() if (name := suite_of(path)) and (ROOT / name).exists()}
    chosen = sorted(found | set(ALWAYS))
    print("Tests of:", " ".join(chosen))
    return int(pytest.main(["-q", "--rootdir", str(ROOT), *chosen], plugins=[Minute()]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
