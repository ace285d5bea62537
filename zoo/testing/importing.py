"""What the import of a plugin does to a process. It runs in a process of its own: `python -m zoo.testing.importing`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from zoo.registry.discovery import Plugin
from zoo.registry.loading import HEAVY

SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What happened.

    Attributes:
        fault: why it ended before it could tell, empty otherwise.
        heavy: packages that take long to import, and that it imports at its top.
        changed: what it changed of the process.
        printed: what it wrote to the standard output.
        interface: what does not fit between its interface and this one; empty where it fits.
    """

    fault: str = ""
    seconds: float = 0.0
    heavy: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    printed: str = ""
    interface: str = ""


def imported(plugin: Plugin, seconds: float = SECONDS) -> Imported:
    """Imports a plugin in a fresh process."""
    where = (
        ["file", plugin.file.path] if plugin.file else ["entry", plugin.entry_point.value if plugin.entry_point else ""]
    )
    with TemporaryDirectory(prefix="zoo-testing-") as folder:
        answer = Path(folder) / "answer.json"
        # -P: a file in the working folder must not replace a module.
        command = [sys.executable, "-P", "-m", __spec__.name, *where, str(answer)]
        pipe = subprocess.PIPE
        # The group ends with what the plugin may have started.
        with subprocess.Popen(  # noqa: S603  (this interpreter and a module of visionzoo)
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            start_new_session=os.name == "posix",
        ) as child:
            try:
                printed, said = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                _end(child)
                return Imported(fault=f"It did not end within {seconds:g} seconds.", seconds=seconds)
            except BaseException:  # Ctrl-C does not reach it: it has a session of its own
                _end(child)
                raise
        if not answer.exists():
            last = next(iter(said.strip().splitlines()[-1:]), "")
            return Imported(fault=f"It ended the process with exit code {child.returncode}. {last}".strip())
        facts = json.loads(answer.read_text(encoding="utf-8"))
    return Imported(
        fault=facts["fault"],
        seconds=facts["seconds"],
        heavy=tuple(facts["heavy"]),
        changed=tuple(facts["changed"]),
        printed=printed.strip(),
        interface=facts["interface"],
    )


def _end(child: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.communicate()


def _state() -> dict[str, object]:
    handlers = {f"the handler of {number.name}": signal.getsignal(number) for number in signal.Signals}
    pillow = {
        f"{module}.{name}": getattr(sys.modules[module], name)
        for module, name in (("PIL.Image", "MAX_IMAGE_PIXELS"), ("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"))
    }
    return {**handlers, **pillow, "the working folder": str(Path.cwd()), "sys.excepthook": sys.excepthook}


def _main(kind: str, value: str, answer: str) -> None:
    from importlib.metadata import EntryPoint

    import PIL.Image
    import PIL.ImageFile  # noqa: F401  (its settings are compared)

    from zoo import hookspecs, specs  # noqa: F401  (what zoo has imported before it loads a plugin)
    from zoo.errors import raised
    from zoo.registry.interface import interface_fault
    from zoo.registry.plugin_file import find_file, import_file

    before, modules = _state(), set(sys.modules)
    begun, fault, interface = time.perf_counter(), "", None
    try:
        module = import_file(find_file(value)) if kind == "file" else EntryPoint("plugin", value, "zoo").load()
        interface = interface_fault(module)
    except BaseException as error:  # SystemExit too: it is a fault of the plugin
        fault = f"Importing {value} raised {raised(error)}."
    seconds = time.perf_counter() - begun
    after = _state()
    facts = {
        "fault": fault,
        "interface": interface or "",
        "seconds": round(seconds, 3),
        "heavy": sorted(set(HEAVY) & ({name.partition(".")[0] for name in set(sys.modules) - modules})),
        "changed": [name for name, value in after.items() if value != before[name]],
    }
    Path(answer).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
