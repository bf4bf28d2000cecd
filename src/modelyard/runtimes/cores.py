"""How many cores this process may use, and how many a table is worth."""

from __future__ import annotations

import os
from pathlib import Path

FEW_CELLS = 200_000
"""Below, one thread has answered before a second one has begun."""

_CGROUP = Path("/sys/fs/cgroup")
_CPU_LIMITS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


def available_cores() -> int:
    """Cores this process may use: its affinity, and the container's CPU limit where a cgroup (v2
    or v1) sets one."""
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    for files in _CPU_LIMITS:
        try:
            texts = [(_CGROUP / file).read_text() for file in files]
            quota, period = " ".join(texts).split()
        except (OSError, ValueError):
            continue
        if quota in ("max", "-1"):
            return allowed
        # Microseconds of CPU time in each period. Rounded down: a thread more than the limit is
        # stopped for a part of each period, and the others wait for it.
        return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def cores(cells: int) -> int:
    """Cores to fit or score a table of so many cells with; OMP_NUM_THREADS lowers it.

    One for a small table: there, threads wait for each other longer than they work, on a busy
    machine a hundred times longer.
    """
    if cells < FEW_CELLS:
        return 1
    # OpenMP takes a list, one number for each level of nesting.
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    available = available_cores()
    if limit.isdecimal() and int(limit) > 0:
        return min(available, int(limit))
    return available
