"""docs/plugins/specs.md and rules.md are what the code says. `python -m tests.test_plugin_docs` writes them anew.

Each hook, each field of a spec and each rule is there, and each field has words of its own.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args

import pytest

from zoo import facts, hookspecs, specs, testing
from zoo.registry.loading import KINDS
from zoo.testing import backbones, datasets, exporters, loggers, plugins

ROOT = Path(__file__).parents[1]
SPECS = [
    specs.BackboneSpec,
    specs.WeightsSpec,
    specs.PreprocessSpec,
    specs.Stage,
    specs.DatasetSpec,
    specs.DatasetRequest,
    specs.ExporterSpec,
    specs.WriteOptions,
    specs.Calibration,
    specs.Written,
    specs.LoadOptions,
    specs.LoggerSpec,
    specs.PublisherSpec,
    specs.Provider,
]
FACTS = [facts.RunStarted, facts.EpochEnded, facts.RunEnded, facts.Exported]  # of run hooks, which plugins read
CHECKS = [name for name in testing.__all__ if name.startswith("check_")]
RULES = {
    "Plugins": plugins.RULES,
    "Backbones": (*backbones.RULES, *backbones.export_rules(["FORMAT"])),
    "Datasets": datasets.RULES,
    "Export formats": exporters.RULES,
    "Loggers": loggers.RULES,
}
ATTRIBUTE = re.compile(r"^    ([a-z_]+(?:, [a-z_]+)*): (.*(?:\n        .*)*)", re.MULTILINE)


def described(spec: type) -> dict[str, str]:
    """The words of a docstring about each field."""
    found = {}
    for names, words in ATTRIBUTE.findall(inspect.cleandoc(spec.__doc__ or "")):
        for name in names.split(", "):
            found[name] = " ".join(words.split())
    return found


def default(field) -> str:
    if field.default_factory is not MISSING:
        return "empty"
    if field.default is MISSING:
        return "**required**"
    value = field.default
    return f"`{value.__name__}`" if callable(value) else f"`{value!r}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def first_line(function) -> str:
    return inspect.cleandoc(function.__doc__).splitlines()[0]


def signature(function) -> str:
    return cell(str(inspect.signature(function)).partition(" ->")[0].replace("'", ""))


def specs_page() -> str:
    lines = [
        "# Specs",
        "",
        "What hooks return and take, and what factories get: `from zoo.specs import …`, and for the facts of",
        "run hooks `from zoo.facts import …`. This page is made of their docstrings. N: pictures, H: rows, W:",
        "columns, K: classes, S: side of the square that a network sees.",
        "",
        f"- Augmentation: {choices(specs.Augmentation)}. ResizeMode: {choices(specs.ResizeMode)}.",
        f"- Interpolation: {choices(specs.Interpolation)}. Input: {choices(specs.Input)}.",
        f"- Precision: {choices(specs.Precision)}.",
        "- A `Runtime` is a function from pictures to float32 logits `[N, K]`; several threads may call it at once.",
        "- A `Logger` has `log(row)` and `close()`. A row has the columns of `metrics.csv`.",
        "- A `zoo.data.Dataset` has `classes`, and the splits `train`, `val` and `test`, of which only `train` is",
        "  required. Each is a `zoo.data.Split(pictures, labels)`.",
        "",
        "## Hooks",
        "",
        "| hook | |",
        "|---|---|",
    ]
    lines += [
        f"| `{name}` | {cell(inspect.cleandoc(hook.__doc__).splitlines()[0])} |" for name, hook in hooks().items()
    ]
    for spec in (*SPECS, *FACTS):
        text = inspect.cleandoc(spec.__doc__)
        summary = " ".join(text.partition("\n\n")[0].split())
        lines += ["", f"## {spec.__name__}", "", summary, "", "| field | type | default | |", "|---|---|---|---|"]
        words = described(spec)
        lines += [
            f"| `{field.name}` | `{cell(str(field.type))}` | {default(field)} | {cell(words.get(field.name, ''))} |"
            for field in fields(spec)
        ]
    return "\n".join([*lines, ""])


def rules_page() -> str:
    lines = [
        "# Rules",
        "",
        "What `zoo plugins check` and the functions of `zoo.testing` look at. A rule that is broken is named",
        "with its cause and what to do. This page is made of the rules themselves.",
        "",
        "| function | |",
        "|---|---|",
        *(f"| `{name}{signature(getattr(testing, name))}` | {first_line(getattr(testing, name))} |" for name in CHECKS),
    ]
    for title, rules in RULES.items():
        lines += ["", f"## {title}", "", "| rule | |", "|---|---|"]
        lines += [f"| `{rule.name}` | {cell(rule.says)} |" for rule in rules]
    return "\n".join([*lines, ""])


def choices(literal) -> str:
    return ", ".join(f"`{each}`" for each in get_args(literal))


def hooks() -> dict[str, object]:
    return {name: hook for name, hook in vars(hookspecs).items() if name.startswith("zoo_")}


PAGES = {"specs.md": specs_page, "rules.md": rules_page}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name):
    text = (ROOT / "docs" / "plugins" / name).read_text(encoding="utf-8")
    assert text == PAGES[name](), "run: python -m tests.test_plugin_docs"


@pytest.mark.parametrize("spec", SPECS + FACTS, ids=lambda spec: spec.__name__)
def test_each_field_has_words(spec):
    assert {field.name for field in fields(spec)} == set(described(spec))


def test_each_description_for_plugins_is_on_the_page():
    made = {kind.spec for kind in KINDS}
    assert made <= set(SPECS)
    named = {each for spec in SPECS for each in re.findall(r"\b[A-Z]\w+(?:Spec|Options|Request)\b", str(fields(spec)))}
    assert named <= {spec.__name__ for spec in (*SPECS, specs.PreprocessSpec)}


@pytest.mark.parametrize("name", hooks())
def test_each_hook_has_an_example_in_the_docs(name):
    pages = [*(ROOT / "docs" / "plugins").glob("*.md"), ROOT / "docs" / "plugins.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages if page.exists())
    assert f"def {name}(" in text


@pytest.mark.parametrize("name", hooks())
def test_each_hook_has_a_user(name):
    users = [path for top in ("zoo", "plugins", "exporters", "demo") for path in (ROOT / top).rglob("*.py")]
    users = [path for path in users if path.name != "hookspecs.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in users)
    assert f"def {name}(" in text or f'call("{name}"' in text  # what trainings and exports call


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_each_field_has_a_user(spec):
    """Somebody reads it: outside `zoo.specs` there is an attribute of its name."""
    users = [path for top in ("zoo", "exporters", "plugins", "demo") for path in (ROOT / top).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in users if path != ROOT / "zoo" / "specs.py")
    assert [field.name for field in fields(spec) if not re.search(rf"\.{field.name}\b", text)] == []


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / "docs" / "plugins" / name).write_text(page(), encoding="utf-8")
