"""Whether glibc's allocator is as it was; in a process of its own, because others leave holes in the heap."""

from __future__ import annotations

import numpy as np

from zoo.processes.memory import freed_memory_kept, resident_bytes


def kept_share(block: int, above: int = 0) -> float:
    """Takes 256 MiB in blocks, frees them, and returns the share of it that stays with the process.

    Args:
        block: size in bytes.
        above: size in bytes of a block that is taken after these and is still in use when they are freed.
    """
    total = 2**28
    before = resident_bytes()
    blocks = [np.ones(block, np.uint8) for _ in range(total // block)]
    assert resident_bytes() - before > 0.9 * total
    last = np.ones(above, np.uint8)
    del blocks
    kept = (resident_bytes() - before) / total
    del last
    return kept


if __name__ == "__main__":
    before = resident_bytes()
    with freed_memory_kept():
        assert kept_share(2**28) > 0.9
    assert resident_bytes() - before < 0.5 * 2**28
    assert kept_share(2**28, above=2**26) < 0.5  # it was mapped by itself
    assert kept_share(2**16) < 0.5  # the end of the heap went back
