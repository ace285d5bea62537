"""The plugin files of a run, found again by another process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import PluginError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from zoo.registry.plugin_file import PluginFile
    from zoo.runs.run import Run


@contextmanager
def names_of(run: Run) -> Iterator[None]:
    """Loads the plugin files of a run, for names that are looked up inside.

    Raises:
        PluginError: a name is unknown, and a plugin file of the run is missing or cannot be loaded.
    """
    missing = load_recorded(run)
    try:
        yield
    except UnknownNameError:
        if missing:
            raise missing[0] from None
        raise


def load_recorded(run: Run) -> list[PluginError]:
    """Loads the plugin files that a run recorded. Returns an error for each one that is missing.

    A file of the same name that this process has added (`--plugin FILE`) stands for the recorded one. A file that
    changed is used with a warning: the weights must fit its network, and an export is compared with that network.

    Raises:
        PluginError: a file cannot be loaded.
    """
    from zoo.registry import registry

    missing = []
    for recorded in run.info.plugins:
        added = registry().added_file(recorded.name)
        candidates = [file for file in (added, _in_place(run, recorded)) if file]
        if not candidates:
            missing.append(_missing(run, recorded))
            continue
        same = [file for file in candidates if file.sha256 == recorded.sha256]
        chosen = (same or candidates)[0]
        if chosen != added:
            registry().add_file(chosen.path)
        if not same:
            _warn_changed(run.name, recorded, chosen)
    return missing


def resumed_files(run: Run, given: Sequence[Path | str]) -> tuple[str, ...]:
    """Loads given plugin files and the recorded ones of a run. Returns where they are now.

    Raises:
        PluginError: a recorded one is missing and no given one has its name, or one cannot be loaded.
    """
    from zoo.registry import registry

    added = [registry().add_file(path) for path in ([given] if isinstance(given, str | Path) else given)]
    for error in load_recorded(run):
        raise error
    used = [registry().added_file(recorded.name) for recorded in run.info.plugins]
    return tuple(dict.fromkeys(file.path for file in (*used, *added) if file))


def _in_place(run: Run, recorded: PluginFile) -> PluginFile | None:
    """The file at the recorded path.

    A run may come from somebody else. A path in its own folder is therefore not followed, and neither is a relative
    one: the code would come with the run, and nobody asked to run it.
    """
    from zoo.registry.plugin_file import find_file

    path = Path(recorded.path)
    if path.is_absolute() and not path.resolve().is_relative_to(run.path.resolve()):
        with suppress(UsageError):
            return find_file(path)
    return None


def _missing(run: Run, recorded: PluginFile) -> PluginError:
    return PluginError(
        f"The run {run.name} needs the plugin file '{recorded.path}' ({recorded.short_hash}), which is missing.",
        f"Give its new place, for example: zoo export {run.path} --plugin ./{recorded.name}",
        code="plugin-file-moved",
    )


@cache
def _warn_changed(run: str, recorded: PluginFile, found: PluginFile) -> None:
    """Once in a process for each change."""
    from zoo.progress import Reporter

    Reporter().warn(
        f"The plugin file '{found.path}' is not the one that the run {run} was trained with: it has "
        f"{found.short_hash}, the run recorded {recorded.short_hash}. To use the old file, give it with --plugin."
    )
