"""The arrows between the packages point one way."""

import ast
import importlib
from pathlib import Path

import pytest

import zoo

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "zoo": ROOT / "zoo",
    "zoo_torchvision": ROOT / "plugins" / "zoo_torchvision",
    "zoo_exporters": ROOT / "exporters" / "zoo_exporters",
    "zoo_demo": ROOT / "demo" / "zoo_demo",
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_itself_and_zoo_only(package):
    files = list(PACKAGES[package].rglob("*.py"))
    assert files
    others = set(PACKAGES) - {package, "zoo"}
    for path in files:
        assert not imported(path) & others, path


def test_the_public_face_is_this():
    assert zoo.__all__ == [
        "Artifact", "Predictor", "Run", "ZooError", "__version__", "backbones", "datasets", "export", "load", "resume",
        "train",
    ]  # fmt: skip
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    for name, home in zoo._HOMES.items():
        assert getattr(zoo, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zoo.nothing
