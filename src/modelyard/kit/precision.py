"""Whether the 32-bit numbers that models take still tell values apart. Numpy only."""

from __future__ import annotations

import numpy as np

MOST = 100_000
"""Values that are looked at: of many more, even those of a normal distribution share some."""
NEARLY_ALL = 0.9


def tells_apart(values: np.ndarray, given: np.ndarray) -> bool:
    """Whether nearly all different `values` still differ as what models are `given` for them, as
    float32; float64 (rows,) without NaN each."""
    with np.errstate(over="ignore"):
        left = np.unique(given[:MOST].astype(np.float32))
    return len(left) >= NEARLY_ALL * len(np.unique(values[:MOST]))
