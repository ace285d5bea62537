"""Whether glibc's allocator is as it was; in a process of its own, because others leave holes in the heap."""

from __future__ import annotations

import ctypes

from zoo.processes.memory import freed_memory_kept, resident_bytes

TOTAL = 2**28
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]


def taken(size: int) -> int:
    """The address of a block that the process really uses."""
    address: int = LIBC.malloc(size)
    ctypes.memset(address, 1, size)
    return address


def kept_share(block: int, above: int = 0) -> float:
    """Takes 256 MiB in blocks, frees them, and returns the share of it that stays with the process.

    The blocks come from `malloc` itself: arrays have small parts that stay in use between them and hold the heap up.

    Args:
        block: size in bytes.
        above: size in bytes of a block that is taken before the others are freed, and is still in use then.
    """
    addresses = (ctypes.c_void_p * (TOTAL // block))()
    before = resident_bytes()
    for index in range(len(addresses)):
        addresses[index] = taken(block)
    assert resident_bytes() - before > 0.9 * TOTAL
    last = taken(above) if above else None
    for address in reversed(addresses):
        LIBC.free(address)
    kept = (resident_bytes() - before) / TOTAL
    LIBC.free(last)
    return kept


if __name__ == "__main__":
    start = resident_bytes()
    with freed_memory_kept():
        assert (while_open := kept_share(2**28)) > 0.9, while_open
    assert (closed := (resident_bytes() - start) / TOTAL) < 0.5, closed
    assert (mapped := kept_share(2**28, above=2**26)) < 0.5, mapped  # it was mapped by itself
    assert (heap := kept_share(2**16)) < 0.5, heap  # the end of the heap went back
