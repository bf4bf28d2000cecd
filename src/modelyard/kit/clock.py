"""Clocks on the wall, which go back an hour when summer time ends. Numpy only."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

HOUR = 3600.0


def through_autumn(time: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Seconds of a series' rows, in their order, going on where the clock goes back; and the rows
    with which the hour begins a second time: from there on all are an hour later.

    Only times without an offset have an hour twice: on a Sunday night, a step after its end.
    """
    apart = np.diff(time)
    later = time.copy()
    again: list[int] = []
    if not (apart > 0).any():
        return later, again
    step = np.median(apart[apart > 0])
    close = np.abs(apart + HOUR - step) < step / 2
    for row in np.flatnonzero(close & (apart <= 0) & (step <= HOUR)).tolist():
        clock = datetime.fromtimestamp(time[row + 1], UTC)
        if clock.weekday() == 6 and clock.hour < 4:
            later[row + 1 :] += HOUR
            again.append(row + 1)
    return later, again
