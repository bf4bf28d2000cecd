"""How large the square is that a model sees, where no setting says it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMALLEST, LARGEST, STEP = 96, 320, 32
"""Sides in pixels that are chosen from."""


def side_of(sizes: Sequence[tuple[int, int]]) -> int:
    """The median longer side of pictures of these widths and heights, rounded up."""
    median = float(np.median([max(size) for size in sizes]))
    return int(min(max(np.ceil(median / STEP) * STEP, SMALLEST), LARGEST))
