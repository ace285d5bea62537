"""The page of error codes equals the code: `python -m tests.test_errors` writes its table anew."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/errors.md"
PACKAGES = ("zoo", "exporters", "demo", "plugins")
# What carries a code inside, and the error that a caller sees.
RAISED_AS = {
    "EndedError": "RefusedError",
    "ForeignError": "ArtifactError",
    "Mistake": "RefusedError",
    "foreign": "ArtifactError",
    "malformed": "ArtifactError",
}
MARK = "| code | error | raised in |\n|---|---|---|\n"


def sources() -> list[Path]:
    return [
        path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if "tests" not in path.parts
    ]


def name_of(call: ast.expr) -> str:
    return getattr(call, "id", getattr(call, "attr", ""))


def collected() -> dict[str, tuple[set[str], set[str]]]:
    """The codes that are written in the source, with the classes that carry them and the modules."""
    found: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for path in sources():
        module = path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                given = next((keyword.value for keyword in node.keywords if keyword.arg == "code"), None)
                kind = RAISED_AS.get(name_of(node.func), name_of(node.func))
                pairs = [(given, kind)]
            elif isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                assigned = [each for each in node.body if isinstance(each, ast.Assign)]
                pairs = [(each.value, node.name) for each in assigned if name_of(each.targets[0]) == "code"]
            else:
                continue
            for value, kind in pairs:
                for constant in ast.walk(value) if value is not None else ():
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        found[constant.value][0].add(kind if kind.endswith("Error") else "")
                        found[constant.value][1].add(module)
    return found


def table() -> str:
    rows = []
    for code, (kinds, modules) in sorted(collected().items()):
        named = ", ".join(f"`{kind}`" for kind in sorted(kinds - {""}))
        rows.append(f"| `{code}` | {named} | {', '.join(sorted(modules))} |\n")
    return MARK + "".join(rows)


def test_the_page_has_every_code_and_no_other():
    text = PAGE.read_text(encoding="utf-8")
    assert MARK in text
    assert set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) == set(collected())
    assert text.endswith(table()), "write it again: python -m tests.test_errors"


def test_codes_are_names():
    codes = set(collected())
    assert len(codes) > 100
    assert not [code for code in codes if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-?", code)]


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(head + table(), encoding="utf-8")
