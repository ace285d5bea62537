"""What is public is listed in one place, and nothing outside the core reaches for more."""

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import TypeVar

import pytest

import zoo
from zoo.errors import UsageError

from .refusals import refused

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `(zoo\.[\w.]+)` \|[^|]*\|([^|]*)\|$", re.MULTILINE)
PUBLIC = {
    module: re.findall(r"`(\w+)`", names)
    for module, names in ROW.findall((ROOT / "docs/python.md").read_text(encoding="utf-8"))
} | {"zoo": zoo.__all__}
WHOLE = ("zoo.specs", "zoo.hookspecs", "zoo.errors", "zoo.data", "zoo.testing")  # of which every name is public
SIBLINGS = [path for folder in ("plugins", "exporters", "demo") for path in (ROOT / folder).rglob("*.py")]


def taken(path: Path) -> list[tuple[str, str]]:
    """Modules of the core and their names that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return [(module, name) for module, name in found if module.split(".")[0] == "zoo"]


def defined(module: str) -> list[str]:
    """The names of a module that do not begin with an underscore and come from nowhere else."""
    loaded = importlib.import_module(module)
    if hasattr(loaded, "__all__"):
        return loaded.__all__
    found = []
    for node in ast.parse(Path(loaded.__file__).read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found.append(node.name)
            case ast.AnnAssign(target=ast.Name(name)):
                found.append(name)
            case ast.Assign():
                found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in found if name[0] != "_" and not isinstance(getattr(loaded, name), TypeVar)]


def test_the_siblings_take_public_names_alone():
    assert len(SIBLINGS) > 50
    for path in SIBLINGS:
        if "tests" in path.relative_to(ROOT).parts:
            continue
        for module, name in taken(path):
            alone = name in PUBLIC.get(module, ()) or f"{module}.{name}" in PUBLIC
            assert alone, f"{path.relative_to(ROOT)} imports {module}.{name}, which docs/python.md does not list"


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_what_is_listed_exists(module):
    assert PUBLIC[module] == sorted(PUBLIC[module])
    for name in PUBLIC[module]:
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", WHOLE)
def test_every_name_of_these_is_listed(module):
    assert PUBLIC[module] == sorted(defined(module))


def test_the_page_about_the_rooms_is_true():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:zoo|demo|plugins|exporters|tests)/[\w/.]+)`", page)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = page.split("```")[1].strip().splitlines()
    assert [set(line.split()) for line in drawn] == [set(layer.split(" | ")) for layer in layers]


def test_the_house_stays_easy_to_look_over():
    assert len([path for path in (ROOT / "zoo").iterdir() if path.name != "__pycache__"]) <= 31
    files = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (ROOT / "zoo").rglob("*.py")}
    assert sorted(name for name, lines in files.items() if lines > 300) == ["zoo/specs.py", "zoo/training/loop.py"]


def test_the_public_face_is_this():
    assert zoo.__all__ == [
        "Artifact", "Classifier", "Predictor", "PreprocessSpec", "Run", "ZooError", "__version__", "adopt",
        "backbones", "bench", "check", "datasets", "evaluate", "export", "load", "register", "resume", "train",
        "verify",
    ]  # fmt: skip
    for name in set(zoo.__all__) - {"__version__"}:
        found = getattr(zoo, name)
        assert found.__name__ == name
        assert found is getattr(importlib.import_module(found.__module__), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zoo.nothing
    with pytest.raises(AttributeError, match="Did you mean 'evaluate'"):
        _ = zoo.evalute
    assert set(zoo.__all__) <= set(dir(zoo))


@pytest.mark.parametrize("name", ["bench", "check", "evaluate", "export", "train", "verify"])
def test_an_option_that_does_not_exist_suggests_the_nearest(name):
    function = getattr(zoo, name)
    wanted = "epochs" if name == "train" else list(inspect.signature(function).parameters)[-1]
    arguments = ("tiny", "photos") if name == "train" else ("photos",)
    with refused("unknown-option", f"'{wanted}x'", f"Did you mean {wanted}", kind=UsageError):
        function(*arguments, **{f"{wanted}x": 1})
