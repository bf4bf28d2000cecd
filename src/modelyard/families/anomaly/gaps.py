"""Gaps in time. Numpy only."""

from __future__ import annotations

import numpy as np

GAP = 1.5
"""A longer time than this many steps is a gap; a shorter one than 1 / 2 of a step is irregular,
and a gap too."""


def breaks_of(time: np.ndarray, step: float) -> np.ndarray:
    """Whether no unbroken step leads to a row from the one before, bool (rows,); False for the
    first."""
    apart = np.diff(time, prepend=time[0] - step)
    return np.asarray((apart > GAP * step) | (apart < step / 2))
