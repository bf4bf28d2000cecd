"""How sure a figure is: intervals of shares and of any metric. For judging, not for answering:
they need scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binomtest

RESAMPLES, RESAMPLED_ROWS = 200, 5_000

Metric = Callable[[np.ndarray, np.ndarray], float]
"""A metric of the truth and the answers, (n,) or (n, …) each."""


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of the share `hits / of` (Wilson 1927); 0 to 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    found = binomtest(hits, of).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


def bootstrap(
    metric: Metric, value: float, y: np.ndarray, answer: np.ndarray
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of a metric (Efron and Tibshirani 1993, chapter 13),
    centred on its value.

    Large splits are resampled to RESAMPLED_ROWS rows, and the spread is scaled by the root of the
    ratio (Bickel, Götze and van Zwet 1997). None where more than half of the resamples hold a
    single value of `y`: too few rows.
    """
    rng = np.random.default_rng(0)
    size = min(len(y), RESAMPLED_ROWS)
    seen = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), size)
        if len(np.unique(y[rows])) > 1:
            seen.append(metric(y[rows], answer[rows]))
    if len(seen) < RESAMPLES / 2:
        return None
    spread = (np.array(seen) - np.median(seen)) * np.sqrt(size / len(y))
    low, high = value + np.quantile(spread, [0.025, 0.975])
    return float(low), float(high)


def share_sentence(name: str, hits: int, of: int) -> str:
    """A share with its interval, for the card."""
    low, high = wilson(hits, of)
    return f"{name}: {hits} of {of}, 95 % interval {low:.3f} to {high:.3f} (Wilson)."


def metric_sentence(
    name: str,
    metric: Metric,
    value: float,
    y: np.ndarray,
    answer: np.ndarray,
    *,
    within: tuple[float, float] | None,
) -> str:
    """A metric with its bootstrap interval, for the card; `within` are the bounds that the
    metric cannot leave."""
    found = bootstrap(metric, value, y, answer)
    if found is None:
        return f"{name}: too few rows for an interval."
    low, high = found
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return f"{name} {value:.4g}, 95 % interval {low:.4g} to {high:.4g} ({RESAMPLES} bootstrap samples)."
