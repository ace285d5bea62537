"""Makes a folder of exported files that shows them to other people, with the publisher of a plugin.

The folder is written under a temporary name and then renamed. It has a list of its files, `LISTED`: only a folder whose
files are all on its list is ever replaced.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ExportError, UnknownNameError, UsageError, ZooError, reason_of
from zoo.files import work_folder, write_text
from zoo.registry import Registered, registry
from zoo.registry.formats import reporting
from zoo.registry.loading import FaultyPluginError, isolated
from zoo.specs import PublisherSpec

LISTED = ".zoo-published.json"
PLACE = "{folder}"  # in the lines of a publisher
# The packages of publishers that `zoo export` has an option for.
PACKAGES = {"web": "visionzoo-web", "space": "visionzoo-web"}


@dataclass(frozen=True, slots=True)
class Published:
    """A folder that a publisher wrote.

    Attributes:
        notes: lines of text about what to do with it.
    """

    publisher: str
    folder: Path
    notes: tuple[str, ...]


def publisher_of(name: str) -> Registered[PublisherSpec]:
    """The publisher with this name. Raises `UsageError` with the package to install, or `UnknownNameError`."""
    try:
        return registry().publisher(name)
    except UnknownNameError:
        if name not in PACKAGES:
            raise
        raise UsageError(
            f"The package {PACKAGES[name]}, which makes such folders, is not installed.",
            f"Install it with: pip install {PACKAGES[name]}",
            code="missing-publisher",
        ) from None


def publish(files: Sequence[Path], name: str, folder: Path, *, overwrite: bool = False) -> Published:
    """Fills a folder with what a publisher makes of exported files.

    Args:
        files: that `zoo export` wrote, in the publisher's format.
        name: of the publisher: `zoo list publishers`.
        overwrite: replace a folder that a publisher wrote before.

    Raises:
        UsageError: no publisher has this name, a file has another format, or the folder cannot be replaced.
        ArtifactError: a file is damaged.
        ExportError: the publisher fails, or the folder cannot be written.
    """
    entry = publisher_of(name)
    check_files(entry.spec, files)
    check_folder(folder, overwrite=overwrite)
    try:
        with work_folder(folder.absolute().parent) as work:
            new = work / "new"
            new.mkdir()
            notes = [line.replace(PLACE, shlex.quote(str(folder))) for line in _written(entry, files, new)]
            write_text(new / LISTED, json.dumps({"publisher": entry.spec.name, "files": _files(new)}, indent=1))
            check_folder(folder, overwrite=overwrite)  # it may have changed meanwhile
            if folder.is_dir():
                folder.rename(work / "old")
            try:
                new.rename(folder)
            except OSError:
                if (work / "old").is_dir():
                    (work / "old").rename(folder)
                raise
    except OSError as error:
        cause = f"Folder '{folder}' cannot be written: {reason_of(error)}."
        raise ExportError(cause, "Choose another folder.", code="output-not-written") from None
    return Published(entry.spec.name, folder, tuple(notes))


def check_files(spec: PublisherSpec, files: Iterable[Path]) -> None:
    """Refuses files that do not exist or have another format. Raises `UsageError`."""
    for file in files:
        if not file.exists():
            remedy = "Give the folder of a run, or files that `zoo export` wrote."
            raise UsageError(f"'{file}' does not exist.", remedy, code="missing-file")
        if file.is_dir() or registry().exporter_for(file).spec.name != spec.format:
            raise UsageError(
                f"'{file}' is not a file of the format {spec.format}.",
                f"Give the folder of one run, or {spec.format} files that `zoo export` wrote.",
                code="other-format",
            )


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder that holds anything else than what a publisher wrote. Raises `UsageError`."""
    if not folder.absolute().parent.is_dir():
        remedy = "Create it first, or choose another folder."
        raise UsageError(f"Folder '{folder.absolute().parent}' does not exist.", remedy, code="missing-folder")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        kind = "is a link" if folder.is_symlink() else "is not a folder"
        raise UsageError(f"'{folder}' {kind}.", "Choose another folder.", code="not-a-folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        cause = f"Folder '{folder}' is the working folder or contains it, so it cannot be replaced."
        raise UsageError(cause, "Name a folder inside it, such as 'site'.", code="working-folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    foreign = sorted(set(_files(folder)) - _listed(folder))
    if foreign:
        raise UsageError(
            f"Folder '{folder}' has files that zoo did not write, for example '{foreign[0]}'.",
            "Choose another folder, or remove them.",
            code="foreign-folder",
        )
    if not overwrite:
        remedy = "Add --overwrite to replace it, or choose another folder."
        raise UsageError(f"Folder '{folder}' already exists.", remedy, code="output-exists")


def _listed(folder: Path) -> set[str]:
    """The files that a publisher wrote there; none where it wrote none."""
    try:
        listed = json.loads((folder / LISTED).read_text(encoding="utf-8"))["files"]
        return {LISTED, *map(str, listed)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _files(folder: Path) -> list[str]:
    """Everything in a folder that is not a folder, relative to it."""
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    links = [
        Path(place, name) for place, names, _ in os.walk(folder) for name in names if Path(place, name).is_symlink()
    ]
    return sorted(path.relative_to(folder).as_posix() for path in found + links)


def _written(entry: Registered[PublisherSpec], files: Sequence[Path], folder: Path) -> tuple[str, ...]:
    try:
        with isolated("its function 'write'"):
            return tuple(map(str, entry.spec.write(files, folder)))
    except FaultyPluginError as fault:
        error, said = fault.__cause__, str(fault)
    if isinstance(error, ZooError | OSError | MemoryError):
        raise error
    cause = f"The publisher '{entry.name}' of {entry.release} failed: {said}"
    raise ExportError(cause, f"{reporting(entry)}.", code="publisher-failed") from error
