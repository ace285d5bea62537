"""A plugin in one file: a Python module that is named by its path and not installed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

from zoo.errors import UsageError, reason_of

# The files of this process, for the processes that it starts: paths with the separator of PATH between them.
VARIABLE = "ZOO_PLUGIN_FILES"
SHORT = 12  # characters of a hash, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFile:
    """A plugin file as it was read: its name, absolute path, and SHA-256 in hexadecimal."""

    name: str
    path: str
    sha256: str

    @property
    def short_hash(self) -> str:
        """The beginning of its hash, for a sentence."""
        return f"sha256:{self.sha256[:SHORT]}"


def find_file(path: Path | str) -> PluginFile:
    """The plugin file at a path. Raises `UsageError` where it cannot be read."""
    place = Path(path).expanduser().absolute()
    return PluginFile(name=place.name, path=str(place), sha256=hashlib.sha256(_read(place)).hexdigest())


def _read(place: Path) -> bytes:
    if place.suffix != ".py":
        raise UsageError(
            f"The plugin file '{place}' is not a Python file.",
            "Give the path of a file that ends in .py, for example: --plugin ./my_zoo.py",
            code="no-plugin-file",
        )
    try:
        return place.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The plugin file '{place}' cannot be read: {reason_of(error)}.",
            "Give its path with --plugin FILE.",
            code="missing-plugin-file",
        ) from None


def import_file(file: PluginFile) -> object:
    """Runs the file as a module with a name of its own, so that two files of one name do not meet.

    Neither its folder nor the working folder is searched for modules on its behalf. No bytecode is written.
    """
    source = _read(Path(file.path))
    if hashlib.sha256(source).hexdigest() != file.sha256:
        raise ValueError("it changed while it was read")
    name = _module_name(file)
    spec = importlib.util.spec_from_loader(name, SourceFileLoader(name, file.path), origin=file.path)
    assert spec
    module = importlib.util.module_from_spec(spec)
    module.__file__ = file.path
    earlier = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    try:
        exec(compile(source, file.path, "exec"), module.__dict__)  # noqa: S102  (the user named the file)
    except BaseException:
        del sys.modules[name]
        if earlier:
            sys.modules[name] = earlier
        raise
    return module


def module_of(file: PluginFile) -> object | None:
    """The module of a file that was imported, in its last version."""
    return sys.modules.get(_module_name(file))


def _module_name(file: PluginFile) -> str:
    place = hashlib.sha256(os.fsencode(file.path)).hexdigest()[:SHORT]
    return f"zoo_plugin_{place}_{Path(file.path).stem}"


def announced_files() -> list[PluginFile]:
    """The plugin files of the process that started this one, as far as they exist."""
    found = []
    for path in os.environ.get(VARIABLE, "").split(os.pathsep):
        if path:
            try:
                found.append(find_file(path))
            except UsageError:  # it was removed meanwhile: what needs it says so
                continue
    return found


def announce(files: Iterable[PluginFile]) -> None:
    """Tells the processes that this one starts which plugin files it has."""
    os.environ[VARIABLE] = os.pathsep.join(file.path for file in files)
