"""A text that is longer than the model reads, in windows that overlap. Numpy only."""

from __future__ import annotations

import numpy as np

OVERLAP = 4
"""Windows share a quarter of their tokens."""


def windows(tokens: int, size: int) -> np.ndarray:
    """Where windows begin, int64 (windows,): one suffices for `size` tokens."""
    if tokens <= size:
        return np.zeros(1, np.int64)
    step = size - size // OVERLAP
    count = -(-(tokens - size) // step) + 1
    return np.minimum(np.arange(count) * step, tokens - size)
