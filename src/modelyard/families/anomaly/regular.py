"""Whether series are regular enough: one step for all, and few windows lost to gaps."""

from __future__ import annotations

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.config import AnomalyFeatures
from modelyard.families.anomaly.series import Series

UNEQUAL = 0.05
"""Relative difference of two files' steps beyond which one detector cannot serve both."""


def check_steps(series: list[Series]) -> None:
    """Refuses series whose rows are not equally far apart.

    Raises:
        BadData: with the file, and the setting that resamples.
    """
    first = series[0].step
    for one in series[1:]:
        # Without a time column rows have no distance.
        if not first or not one.step:
            continue
        if abs(one.step / first - 1) > UNEQUAL:
            problem = f"its rows are {one.step:g} apart, those of {series[0].name} {first:g}"
            hint = f"Resample them to one step: --set features.step={first:g}; or run them apart"
            raise BadData(problem, file=one.file, hint=hint)


def lost_windows(series: list[Series], settings: AnomalyFeatures) -> int:
    """Windows that gaps cost, against series without a gap.

    Raises:
        BadData: they are more than `features.most_lost`, with the first gap of the worst file.
    """
    window, possible, lost = settings.window, [], []
    for one in series:
        if one.drawn:
            # Only kinds of rows take them.
            continue
        left, full = 0, 0
        for rows in one.parts.values():
            full += max(rows.stop - rows.start - window + 1, 0)
            left += _whole_windows(one.breaks[rows], window)
        possible.append(full)
        lost.append(full - left)
    if sum(lost) > settings.most_lost * sum(possible):
        worst = series[int(np.argmax(np.array(lost) / np.array(possible)))]
        row = int(worst.rows[worst.breaks.argmax()])
        problem = (
            f"gaps, irregular steps and empty cells cost {sum(lost)} of {sum(possible)} windows of {window} rows, "
            f"more than {settings.most_lost:.0%} (features.most_lost); the first of {worst.breaks.sum()} is here"
        )
        hint = "Resample the series (--set features.step=found), or lower features.window (1: rows only)"
        raise BadData(problem, file=worst.file, row=row, hint=hint)
    return sum(lost)


def _whole_windows(breaks: np.ndarray, window: int) -> int:
    # Stretches between breaks: one of n rows has n - window + 1 windows.
    starts = np.flatnonzero(np.concatenate([[True], breaks[1:], [True]]))
    return int(np.maximum(np.diff(starts) - window + 1, 0).sum())
