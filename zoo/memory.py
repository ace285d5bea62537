"""The C library's allocator, set for training."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h>; https://man7.org/linux/man-pages/man3/mallopt.3.html
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGEST = 2**31 - 1
LARGE = 2**30


def keep_freed_memory() -> None:
    """Lets glibc keep what is freed, for the rest of the process; does nothing elsewhere.

    By default it returns large blocks to the system at once. A training step then takes its activations page by
    page from the kernel again, which cost up to half of the time (`benchmarks/memory.py`).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
