"""`zoo plugins new`: a package to begin with. Its texts are in the folder `new_plugin`."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from zoo._version import __version__
from zoo.errors import UsageError
from zoo.specs import INTERFACE

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*")  # of a distribution: packaging.python.org


@dataclass(frozen=True, slots=True)
class Part:
    """What a package can add to zoo, and how its hook says so.

    Attributes:
        hook: in `plugin.py`; empty where the part has a module of hooks of its own.
        spec: what the hook yields; empty for commands.
        constant: the object of its module that the hook returns.
        usage: a command that uses it.
    """

    title: str
    hook: str
    spec: str
    constant: str
    usage: str


PARTS = {
    "backbone": Part("a backbone", "zoo_backbones", "BackboneSpec", "BACKBONE", "zoo train ${module}_small ./pictures"),
    "provider": Part(
        "a provider of backbones",
        "zoo_backbones",
        "Provider[BackboneSpec]",
        "PROVIDER",
        "zoo train ${module}/w16 ./pictures",
    ),
    "dataset": Part("a dataset", "zoo_datasets", "DatasetSpec", "DATASET", "zoo train resnet18 ${module}_dots"),
    "exporter": Part(
        "an export format", "zoo_exporters", "ExporterSpec", "EXPORTER", "zoo export --format ${module}_zip"
    ),
    "logger": Part(
        "a metric logger",
        "zoo_loggers",
        "LoggerSpec",
        "LOGGER",
        "zoo train resnet18 mnist --loggers csv,${module}_json",
    ),
    "command": Part("a command", "zoo_commands", "", "command", "zoo ${command} Ada"),
    "run_hook": Part("a run hook", "", "", "", "zoo train resnet18 mnist"),
}


def new(  # noqa: PLR0917  (a command's options are its parameters)
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package and its folder: my-zoo.")],
    backbone: Annotated[bool, typer.Option("--backbone", help="With a backbone.")] = False,
    provider: Annotated[bool, typer.Option("--provider", help="With a provider: many backbones by name.")] = False,
    dataset: Annotated[bool, typer.Option("--dataset", help="With a dataset.")] = False,
    exporter: Annotated[bool, typer.Option("--exporter", help="With an export format.")] = False,
    logger: Annotated[bool, typer.Option("--logger", help="With a metric logger.")] = False,
    command: Annotated[bool, typer.Option("--command", help="With a command.")] = False,
    run_hook: Annotated[bool, typer.Option("--run-hook", help="With a hook that trainings call.")] = False,
) -> None:
    """Write the package of a new plugin into ./NAME, with tests. By default it has a backbone and a dataset."""
    from zoo.cli.console import stdout

    asked = dict(zip(PARTS, (backbone, provider, dataset, exporter, logger, command, run_hook), strict=True))
    parts = [part for part, wanted in asked.items() if wanted] or ["backbone", "dataset"]
    folder = write_package(Path(), name, parts)
    stdout().print(f"{folder} has {_contents(parts)}. Next:\n", markup=False)
    stdout().print(f"    pip install -e '{folder}[dev]'", markup=False)
    stdout().print(f"    zoo plugins check {name}", markup=False)
    stdout().print(f"    pytest {folder}", markup=False)


def write_package(parent: Path, name: str, parts: Sequence[str]) -> Path:
    """Writes a package with some of `PARTS` and returns its folder. Raises `UsageError`."""
    from zoo.files import work_folder

    folder, module = parent / name, _module(name)
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"'{folder}' already exists.", "Choose another name, or remove it.", code="folder-exists")
    with work_folder(parent) as work:
        for path, text in package(name, module, parts).items():
            file = work / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        (work / name).rename(folder)
    return folder


def _module(name: str) -> str:
    """The package's import name. Raises `UsageError` where it cannot have one."""
    module = re.sub(r"[._-]", "_", name).lower()
    if not NAME.fullmatch(name) or keyword.iskeyword(module):
        raise UsageError(
            f"A package cannot have the name '{name}'.",
            "Use letters, digits and single '-', beginning with a letter, for example: my-zoo",
            code="package-name",
        )
    if module in sys.stdlib_module_names or importlib.util.find_spec(module):
        raise UsageError(
            f"There already is a Python package '{module}'.",
            f"Choose another name, for example: visionzoo-{name}",
            code="package-name",
        )
    return module


def package(name: str, module: str, parts: Sequence[str]) -> dict[str, str]:
    """The files of a package by their paths."""
    command = re.sub(r"[._-]+", "-", name).lower()
    values = {
        "name": name,
        "module": module,
        "command": command,
        "suffix": module.replace("_", ""),
        "version": __version__,
        "year": str(datetime.now(UTC).year),
        "contents": _contents(parts),
        "entries": _entries(module, command, parts),
        "files": "\n".join(f"| `src/{module}/{part}.py` | {PARTS[part].title} |" for part in parts),
        "usage": "\n".join(Template(PARTS[part].usage).substitute(module=module, command=command) for part in parts),
    }
    found = {
        "pyproject.toml": _text("pyproject.toml", values),
        "README.md": _text("README.md", values),
        "LICENSE": _text("LICENSE", values),
        ".gitignore": _text("gitignore", values),
        ".github/workflows/test.yml": _text("workflow.yml", values),
        f"src/{module}/__init__.py": '"""A plugin for visionzoo."""\n',
        f"src/{module}/py.typed": "",
    }
    if in_plugin := [part for part in parts if PARTS[part].hook]:
        found[f"src/{module}/plugin.py"] = _plugin(name, module, command, in_plugin)
    for part in parts:
        found[f"src/{module}/{part}.py"] = _text(f"{part}.py", values)
        found[f"tests/test_{part}.py"] = _text(f"test_{part}.py", values)
    return found


def _entries(module: str, command: str, parts: Sequence[str]) -> str:
    """The entry points: what zoo loads for names, for the help, and for trainings."""
    groups = {
        "zoo": any(PARTS[part].hook for part in parts) and f'{module} = "{module}.plugin"',
        '"zoo.commands"': "command" in parts and f'{command} = "{module}.plugin"',
        '"zoo.run_hooks"': "run_hook" in parts and f'{module} = "{module}.run_hook"',
    }
    return "\n".join(f"[project.entry-points.{group}]\n{line}\n" for group, line in groups.items() if line)


def _contents(parts: Sequence[str]) -> str:
    *first, last = (PARTS[part].title for part in parts)
    return f"{', '.join(first)} and {last}" if first else last


def _text(name: str, values: Mapping[str, str]) -> str:
    text = files("zoo.cli").joinpath("new_plugin", f"{name}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _plugin(name: str, module: str, command: str, parts: Sequence[str]) -> str:
    """The module with the hooks."""
    yielded = [PARTS[part].spec for part in parts if PARTS[part].spec]
    specs = sorted(set(re.findall(r"\w+", " ".join(yielded))))
    lines = [f'"""What {name} adds to zoo. It imports nothing slow."""', "", "from __future__ import annotations", ""]
    lines += ["from collections.abc import Iterator"] * bool(specs)
    lines += ["from typing import TYPE_CHECKING"] * ("command" in parts)
    lines += ["", "from zoo.hookspecs import hookimpl"]
    lines += [f"from zoo.specs import {', '.join(specs)}"] * bool(specs)
    lines += ["", *(f"from {module}.{part} import {PARTS[part].constant}" for part in sorted(parts))]
    lines += ["", "if TYPE_CHECKING:", "    import typer"] * ("command" in parts)
    lines += ["", f'ZOO_INTERFACE = "{INTERFACE}"  # what it needs of zoo.specs and zoo.hookspecs']
    for hook in dict.fromkeys(PARTS[part].hook for part in parts):
        each = [PARTS[part] for part in parts if PARTS[part].hook == hook]
        if hook == "zoo_commands":
            argument, returns, body = "app: typer.Typer", "None", [f'app.command("{command}")({each[0].constant})']
        else:
            argument, returns = "", f"Iterator[{' | '.join(part.spec for part in each)}]"
            body = [f"yield {part.constant}" for part in each]
        lines += ["", "", "@hookimpl", f"def {hook}({argument}) -> {returns}:", *(f"    {line}" for line in body)]
    return "\n".join([*lines, ""])
