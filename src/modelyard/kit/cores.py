"""How many cores a table is worth."""

from __future__ import annotations

import os

from modelyard.runtimes.onnx import available_cores

FEW_CELLS = 200_000


def cores(cells: int) -> int:
    """Cores to fit or score a table of so many cells with; OMP_NUM_THREADS lowers it.

    One for a small table: there, threads wait for each other longer than they work, on a busy
    machine a hundred times longer.
    """
    if cells < FEW_CELLS:
        return 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    available = available_cores()
    return min(available, int(limit)) if limit.isdecimal() and int(limit) > 0 else available
