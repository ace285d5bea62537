"""Opens every path on stdin as three commands do, and prints a line of JSON for each; see `test_fuzz`.

What it runs may hang, crash or eat all memory: limits of the operating system end it then, and the line that is
missing names the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CPU_SECONDS = 10
SECONDS = 120
MEMORY = 1536 * 2**20


def main() -> None:
    import onnxruntime  # noqa: F401  (what is imported later would count)
    import torch._export.serde.serialize
    import torch._inductor.cpp_builder  # noqa: F401
    from torch.export.passes import move_to_device_pass  # noqa: F401

    from zoo.artifacts.predictor import load, read_card
    from zoo.errors import ZooError

    def info(path: Path) -> None:
        from zoo.cli import main as zoo

        sys.argv = ["zoo", "info", str(path)]
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                zoo()
        except SystemExit as end:
            if end.code:
                raise (ZooError(said.getvalue(), "") if said.getvalue() else end) from None

    def outcome(call: Callable[[Path], object], path: Path) -> str:
        try:
            call(path)
        except ZooError as error:
            return f"refused: {error}"
        except BaseException as error:
            return f"{type(error).__name__}: {error}"[:500]
        return "taken"

    own = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        results = {call.__name__: outcome(call, path) for call in (read_card, load, info)}
        print(json.dumps({"path": path.name, **results}), flush=True)


if __name__ == "__main__":
    main()
