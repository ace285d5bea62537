"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def core_share(root: Path = Path("/")) -> int:
    """The cores that this process may use: those of its affinity, and no more than its cgroup's share of CPU time.

    A container with a share of 1.5 cores of 64 gets 2. See https://docs.kernel.org/admin-guide/cgroup-v2.html
    (`cpu.max`) and https://docs.kernel.org/scheduler/sched-bwc.html (`cpu.cfs_quota_us`).

    Args:
        root: where `/proc` and `/sys` are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(share) for share in _shares(root))]))


def _shares(root: Path) -> Iterator[float]:
    """The limits of this process's cgroup and of those around it, in cores."""
    for own in (*_own(root), Path()):
        for folder in (own, *own.parents):
            yield from _share(root / "sys/fs/cgroup" / folder, "cpu.max")
            yield from _share(root / "sys/fs/cgroup/cpu" / folder, "cpu.cfs_quota_us", "cpu.cfs_period_us")


def _own(root: Path) -> list[Path]:
    """The cgroups of this process, relative to the place where they are mounted."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    entries = [line.split(":", 2) for line in lines if line.count(":") >= 2]  # noqa: PLR2004
    return [Path(path.lstrip("/")) for _, kinds, path in entries if not kinds or "cpu" in kinds.split(",")]


def _share(folder: Path, *names: str) -> list[float]:
    try:
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        return [int(quota) / int(period)] if int(quota) > 0 and int(period) > 0 else []
    except (OSError, ValueError):  # no such file, or `max`: no limit
        return []
