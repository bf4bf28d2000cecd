"""Exponential smoothing with a damped trend and a season (Holt 1957, Winters 1960; damped as in
Gardner and McKenzie 1985) as one matrix: with given weights all its steps are linear in the history.
Of logarithms, it is the multiplicative form. It is what a network adds to. Numpy only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pydantic import BaseModel, ConfigDict


class Weights(BaseModel):
    """How fast each part follows what is seen, 0 to 1, of all series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float
    trend: float
    """Of a changed level, how much the trend follows."""
    season: float
    damping: float
    """By which the trend shrinks each step."""
    logarithms: bool = False
    """Whether the logarithms of histories are smoothed, where they can be taken: seasons and changes
    that grow with the level. False in packages of earlier versions."""
    growth: float = 1.0
    """Largest value ahead by the largest of its history, of all training windows; 1 at least."""


MOST_GROWTH = 2.0
"""Times the growth of training windows that a forecast by logarithms may be above its history: a
trend of logarithms multiplies each step, and has no bound of its own."""
WIDEST = 1e4
"""Largest by smallest value of a history up to which logarithms are taken: that of a single value near
0 would outweigh all others."""


def smoothed(weights: Weights, values: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """What follows histories (windows, context), NaN where a value is missing: float64 (windows,
    horizon)."""
    history = without_gaps(values, season)
    logs = np.zeros(len(history), bool)
    if weights.logarithms:
        logs = have_logarithms(history)
    own = history.copy()
    own[logs] = np.log(history[logs])
    # Products of numbers near 0 round less; a forecast moves with the level of its history.
    level = own.mean(axis=1, keepdims=True)
    steps = smoothing_matrix(weights, values.shape[1], season, horizon)
    found = (own - level) @ steps.T + level
    most = MOST_GROWTH * weights.growth * history[logs].max(axis=1, keepdims=True)
    found[logs] = np.exp(np.minimum(found[logs], np.log(most)))
    return np.asarray(found)


def have_logarithms(history: np.ndarray) -> np.ndarray:
    """Which histories (windows, context) without gaps are above 0 throughout, and no value is next to
    nothing by the largest: bool (windows,)."""
    lowest, highest = history.min(axis=1), history.max(axis=1)
    return np.asarray((lowest > 0) & (highest <= WIDEST * lowest))


@lru_cache(maxsize=8)
def smoothing_matrix(weights: Weights, context: int, season: int, horizon: int) -> np.ndarray:
    """The forecasts of `horizon` steps as sums of the `context` values before them, float64
    (horizon, context)."""
    # Each row is a value, or a part that follows from the values, by the share of each of them in it.
    values = np.eye(context)
    level, trend, seasonal = _first_parts(values, season)
    length = len(seasonal)
    for step, value in enumerate(values):
        place = step % length
        expected = level + weights.damping * trend + seasonal[place]
        error = value - expected
        level = level + weights.damping * trend + weights.level * error
        trend = weights.damping * trend + weights.level * weights.trend * error
        if length > 1:
            seasonal[place] += weights.season * error
    steps = np.empty((horizon, context))
    damped = 0.0
    for ahead in range(horizon):
        damped += weights.damping ** (ahead + 1)
        steps[ahead] = level + damped * trend + seasonal[(context + ahead) % length]
    return steps


def _first_parts(values: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level before the first value, trend and season to begin with: by the means of whole seasons.
    Where there are no two seasons, the first value, no trend and no season."""
    context = len(values)
    if season < 2 or context < 2 * season:
        return values[0], np.zeros(context), np.zeros((1, context))
    count = context // season
    seasons = values[: count * season].reshape(count, season, context)
    means = seasons.mean(axis=1)
    trend = (means[-1] - means[0]) / ((count - 1) * season)
    # A season's mean stands in its middle: the trend leads from there to each of its steps.
    off = np.arange(season) - (season - 1) / 2
    seasonal = (seasons - means[:, None]).mean(axis=0) - off[:, None] * trend
    return means[0] - trend * (season + 1) / 2, trend, seasonal


def without_gaps(values: np.ndarray, season: int) -> np.ndarray:
    """Histories (windows, context) without NaN: a gap lies on a line between its neighbours, and what
    comes before a series begins repeats its first season; all of a history without a value is 0."""
    found = np.array(values, np.float64)
    for row in np.flatnonzero(np.isnan(found).any(axis=1)).tolist():
        own = found[row]
        there = np.flatnonzero(np.isfinite(own))
        if not len(there):
            own[:] = 0.0
            continue
        own[:] = np.interp(np.arange(len(own)), there, own[there])
        first = int(there[0])
        if len(own) - first >= season:
            ahead = np.arange(first - 1, -1, -1)
            own[ahead] = own[first + (ahead - first) % season]
    return found
