"""Which running trial is not worth its time: the median stopping rule (Golovin et al. 2017,
Vizier, section 3.2.1)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Curve = Mapping[int, float]
"""Validation loss by epoch, from 1."""
LEAST_OTHERS = 4
"""Finished trials without which nothing is pruned."""
SHARE_UNTOUCHED = 0.15
"""Share of the epochs in which a trial is never pruned; at least two epochs."""


def hopeless(curve: Curve, others: Sequence[Curve], epochs: int) -> bool:
    """Whether a trial's best loss so far is above the median of what others had reached by the same
    epoch.

    `others` are curves of finished trials whose loss means the same. One that stopped earlier
    counts with its best.
    """
    now = max(curve, default=0)
    # The first epochs say little: warm-up and noise decide who is ahead.
    if now < max(2, SHARE_UNTOUCHED * epochs):
        return False
    reached = [_best(other, now) for other in others if other]
    if len(reached) < LEAST_OTHERS:
        return False
    return _best(curve, now) > statistics.median(reached)


def _best(curve: Curve, until: int) -> float:
    """The lowest loss until an epoch; that of the first, where all are later."""
    until = max(until, min(curve))
    return min(loss for epoch, loss in curve.items() if epoch <= until)
