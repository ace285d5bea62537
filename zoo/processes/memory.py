"""The memory of this process: how much it uses, and when glibc returns freed memory to the system."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# <malloc.h>; https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1
LARGE = 2**30
GLIBC_DEFAULT = 128 * 2**10


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory until the process ends. Does nothing with other C libraries.

    By default glibc returns large blocks to the system at once. Each training step then gets its memory page by page
    from the kernel again, which took up to half of the time (`benchmarks/memory.py`).
    """
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, LARGEST)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """`keep_freed_memory` while the context is open. At the end, the kept memory goes back to the system."""
    keep_freed_memory()
    try:
        yield
    finally:
        mallopt = _function("mallopt")
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, GLIBC_DEFAULT)
            mallopt(M_TRIM_THRESHOLD, GLIBC_DEFAULT)
        give_back_freed_memory()


def give_back_freed_memory() -> None:
    """Returns memory that glibc keeps to the system once, for example after large pictures were decoded."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def resident_bytes(*, peak: bool = False) -> int:
    """Memory of this process in bytes, now or at its peak. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    try:
        found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return int(found[1]) * 1024
    import resource  # elsewhere only the peak is known

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
