"""Rows at irregular times as rows a step apart. What lies in a gap is not made up. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RULE = (
    "each moment of the grid is the mean of the rows within half a step of it; one without a row lies on "
    "the straight line between the moments around it, where these are at most {most:g} steps apart"
)
"""As the card says it."""
ROUND = (
    1,
    2,
    5,
    10,
    15,
    20,
    30,
    60,
    120,
    300,
    600,
    900,
    1_200,
    1_800,
    3_600,
    7_200,
    10_800,
    21_600,
)
"""Seconds between rows that people choose."""
NEARLY = 0.1
"""Share of a step by which a round one may differ."""


@dataclass(frozen=True)
class Resampled:
    """Rows on the grid of all multiples of a step."""

    time: np.ndarray
    """Float64 (moments,), ascending."""
    x: np.ndarray
    """Float64 (moments, columns)."""
    first: np.ndarray
    last: np.ndarray
    """Places of the first and the last row that a moment is made of, int64 (moments,); of one on a
    line, the rows around it."""
    filled: np.ndarray
    """Whether it lies on a line, bool (moments,)."""
    breaks: np.ndarray
    """Whether a gap lies before it, bool (moments,); False for the first."""


def round_step(step: float) -> float:
    """The round number nearest to a usual time between rows, where one is near: times that are late at
    random are seldom a whole number apart."""
    # Of a clock, or of decimal numbers.
    ten = 10.0 ** np.floor(np.log10(step))
    decimals = ten * np.array([1, 2, 2.5, 5, 10])
    candidates = np.array([*ROUND, 43_200, 86_400, *decimals])
    nearest = float(candidates[np.abs(candidates / step - 1).argmin()])
    if abs(nearest / step - 1) <= NEARLY:
        return nearest
    return step


def resample(time: np.ndarray, x: np.ndarray, step: float, most: float) -> Resampled:
    """Rows on the grid, by RULE.

    Args:
        time: float64 (rows,), ascending; x: float64 (rows, columns), without NaN.
        step: between moments, above 0; most: steps that a line may bridge.
    """
    # Halves go up: `round` would take them to the even number, and two moments would share
    # unevenly.
    place = np.floor(time / step + 0.5).astype(np.int64)
    there, starts, counts = np.unique(place, return_index=True, return_counts=True)
    means = np.add.reduceat(x, starts, axis=0) / counts[:, None]
    apart = np.diff(there)
    bridged = (apart > 1) & (apart <= most)
    # Each moment that has rows, and behind it those of the line that begins there.
    behind = np.append(np.where(bridged, apart - 1, 0), 0)
    source = np.repeat(np.arange(len(there)), behind + 1)
    # How many steps a moment lies behind the one with rows.
    begins = np.cumsum(behind + 1) - behind - 1
    offset = np.arange(len(source)) - np.repeat(begins, behind + 1)
    filled = offset > 0
    after = np.minimum(source + filled, len(there) - 1)
    share = np.zeros(len(source))
    share[filled] = offset[filled] / apart[source[filled]]
    moments = there[source] + offset
    return Resampled(
        time=moments * step,
        x=means[source] * (1 - share[:, None]) + means[after] * share[:, None],
        first=starts[source],
        last=starts[after] + counts[after] - 1,
        filled=filled,
        breaks=np.diff(moments, prepend=moments[0] - 1) > 1,
    )
