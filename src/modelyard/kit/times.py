"""Rows in time order: whether they are, and whether what is predicted follows the time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.polynomial import polynomial

TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "ts")
"""Names of a time column that are understood, in any case."""
NEARLY_ALL = 0.99
"""Share of neighbouring rows in order from which on a file is sorted by time. Several machines one
below the other are too: the time goes back once a machine."""
LEAST_TIMES = 30
"""Fewer different times tell nothing about a dependence."""
SAME_COUNT, SAME_STEP = 0.8, 0.6
"""Shares of the times with the usual number of rows, and of the steps with the usual length, that
make a series. Working days have the usual step four times of five."""
MOST_CLASSES = 8
"""Classes that are looked at, the most frequent first."""
LEAST_CORRELATION = 0.2
"""Of neighbouring times of a series."""
LEAST_SHARE = 0.1
"""Of the target's variance, which a row's neighbours in time must explain in an irregular table."""

Dependence = Literal["none", "trend", "series"]


def in_order(times: np.ndarray) -> float:
    """Share of neighbouring rows of which the later does not go back; of a file that begins with
    the latest rows, does not go forth."""
    steps = np.diff(times)
    if not len(steps):
        return 0.0
    return float(max(np.mean(steps >= 0), np.mean(steps <= 0)))


def dependence(times: np.ndarray, y: np.ndarray, classes: int) -> Dependence:
    """How the target follows the time.

    `series`: near times have near values, so a random split judges a model on the neighbours of its
    training rows. `trend`: the rows are no series (a customer's sign-up date), and the target rises
    or falls along them. `none`: it does not matter.

    Measured by the autocorrelation at lag 1 of the target's mean at each time: of the ranks of a
    regression's values, and of a classification (`y` holds indices below `classes`) of each class's
    indicator, summed.
    """
    if classes:
        values = _indicators(y, classes)
    else:
        values = _ranks(y)[:, None]
    values = values - values.mean(axis=0)
    different, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    spread = float((values**2).mean(axis=0).sum())
    if len(different) < LEAST_TIMES or spread == 0:
        return "none"
    means = np.zeros((len(different), values.shape[1]))
    np.add.at(means, place, values)
    means /= counts[:, None]
    chance = 4 / np.sqrt(len(different))
    if _regular(different, counts):
        varies = float((means**2).mean(axis=0).sum())
        if varies and _neighbours(means) / varies > max(LEAST_CORRELATION, chance):
            return "series"
        return "none"
    # An irregular table may be a list of customers or of events: what a smooth curve over the whole
    # time explains is a property of the row's date; what is left after it comes from its neighbours.
    smooth = np.linspace(-1, 1, len(different))
    curve = polynomial.polyval(smooth, polynomial.polyfit(smooth, means, 3)).T
    if _neighbours(means - curve) / spread > max(LEAST_SHARE, chance):
        return "series"
    if _neighbours(means) / spread > max(LEAST_SHARE, chance):
        return "trend"
    return "none"


def _indicators(y: np.ndarray, classes: int) -> np.ndarray:
    """Bool as float, (rows, most frequent classes)."""
    frequent = np.argsort(-np.bincount(y.astype(np.int64), minlength=classes))[:MOST_CLASSES]
    return np.asarray(y[:, None] == frequent, np.float64)


def _ranks(y: np.ndarray) -> np.ndarray:
    """Ranks from 0 on, equals alike: a heavy tail then counts as little as it should."""
    return np.unique(y, return_inverse=True)[1].astype(np.float64)


def _regular(different: np.ndarray, counts: np.ndarray) -> bool:
    """Whether times are a usual step apart and have the usual number of rows each."""
    usual = np.bincount(counts).argmax()
    steps = np.diff(different)
    step = np.median(steps)
    alike = np.abs(steps - step) <= 0.2 * step
    return bool(np.mean(counts == usual) >= SAME_COUNT and alike.mean() >= SAME_STEP)


def _neighbours(means: np.ndarray) -> float:
    """Autocovariance at lag 1, summed over the columns."""
    return float((means[1:] * means[:-1]).mean(axis=0).sum())
