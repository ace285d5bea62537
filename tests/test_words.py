"""Plain English: expressions that readers stumbled over stay out of code, tests and docs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUFFIXES = {".py", ".md", ".toml", ".html", ".js", ".css", ".cfg", ".yml", ".yaml", ""}
INSTEAD = {
    r"\bis no\b": "is not a",
    r"\bcannot be had\b": "is missing, or was not found",
    r"\bstranger(s|'s)?\b": "untrusted file",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\blikewise\b": "say it again",
}


def texts():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    paths = [ROOT / name for name in tracked] or [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.py")]
    return [path for path in paths if path.suffix in SUFFIXES and path.is_file() and path != Path(__file__)]


@pytest.mark.parametrize("expression", INSTEAD)
def test_a_plainer_expression_is_used(expression):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(expression, line, re.IGNORECASE)
    ]
    assert len(texts()) > 200
    assert not found, f"write: {INSTEAD[expression]}"
