"""Texts of similar length go through a graph at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def similar(counts: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Places of texts, int64 (some,), of at most `most` each, the shortest first.

    Args:
        counts: tokens of each text, (n,).
    """
    order = np.argsort(counts, kind="stable")
    start = 0
    while start < len(order):
        # Padding all to the longest text would cost more than a further call.
        longest = 1.25 * counts[order[start]] + 8
        some = order[start : start + most]
        rows = some[counts[some] <= longest]
        start += len(rows)
        yield rows
