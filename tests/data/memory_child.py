"""Runs a command of `zoo` on so many cores and in so much memory; see `test_memory`.

    memory_child.py CORES MIB FILE COMMAND...

MIB is what the process may allocate beyond what its libraries take, 0 for no limit. FILE receives its peak resident
set in bytes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from zoo.data import prefetch
from zoo.processes.memory import resident_bytes


def main() -> None:
    cores, mebibytes, file, *command = sys.argv[1:]
    prefetch.count_cores = lambda: int(cores)
    import zoo.artifacts.predictor
    import zoo.audit
    from zoo.cli import main as run

    if command[0] == "train":
        import torch._dynamo  # noqa: F401  (what is imported later would count)
        import torchvision  # noqa: F401

        import zoo.training.train  # noqa: F401
    else:
        import onnxruntime  # noqa: F401
    if int(mebibytes):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(mebibytes) * 2**20,) * 2)
    sys.argv = ["zoo", *command]
    try:
        run()
    finally:
        # Not ru_maxrss: that begins with what the process which started this one held.
        Path(file).write_text(str(resident_bytes(peak=True)))


if __name__ == "__main__":
    main()
