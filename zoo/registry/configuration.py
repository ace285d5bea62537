"""The plugins that the user has disabled: the file `plugins.toml` in the folder of the user's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import platformdirs

from zoo.errors import PluginError, reason_of
from zoo.files import write_text

FILE = "plugins.toml"
LONGEST_SECONDS = 10.0  # until another command that writes it is done
HEADER = "# Plugins that visionzoo does not load. Change it with: zoo plugins enable NAME, zoo plugins disable NAME\n"


def place() -> Path:
    """Where the file is, or would be."""
    return platformdirs.user_config_path("visionzoo") / FILE


def disabled_names() -> list[str]:
    """The names in the file. Raises `PluginError` where it is damaged."""
    path = place()
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors of Windows write a byte order mark
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeError) as error:
        raise _damaged(path, reason_of(error) if isinstance(error, OSError) else "it is not text") from None
    import tomllib  # most users have no such file

    try:
        names = tomllib.loads(text).get("disabled", [])
    except tomllib.TOMLDecodeError as error:
        raise _damaged(path, str(error)) from None
    except RecursionError:
        raise _damaged(path, "its lists are nested too deeply") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(path, "'disabled' is not a list of names")
    return names


def _damaged(path: Path, reason: str) -> PluginError:
    cause = f"The list of disabled plugins in '{path}' cannot be read, so it is ignored: {reason}."
    return PluginError(cause, "Correct the file or remove it.", code="damaged-configuration")


def change_disabled(change: Callable[[list[str]], Iterable[str]]) -> None:
    """Writes the file anew with what `change` makes of its names, or removes it where there are none.

    Two commands at the same time wait for each other, where the file system has locks: none loses the other's name.
    """
    from filelock import FileLock

    path = place()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{FILE}.lock"), timeout=LONGEST_SECONDS)
    try:
        with suppress(OSError, NotImplementedError):  # no locks there; `Timeout` is an OSError, too
            lock.acquire()
        kept = sorted(set(change(disabled_names())))
        if kept:
            write_text(path, f"{HEADER}disabled = {json.dumps(kept)}\n")
        else:
            path.unlink(missing_ok=True)
    finally:
        lock.release()
