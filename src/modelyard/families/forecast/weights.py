"""The weights of exponential smoothing that forecast the training steps best, of all series
together."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from modelyard.families.forecast.holt_winters import (
    Weights,
    have_logarithms,
    smoothed,
    without_gaps,
)
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema, seasonal_naive
from modelyard.kit.splits import evenly

MOST = 1_000
"""Training windows that the weights are fitted on, evenly spread."""
LEAST = 8
"""Windows from which they are fitted: two for each of the four."""
LONGEST = 1_024
"""Steps of a history up to which they are fitted: the work grows with their square."""
STARTS = ((-1.0, -3.0, -1.0, 2.0), (-3.0, -4.0, -3.0, 0.0), (1.0, -4.0, -1.0, 2.0))
"""Where the search begins: level, trend, season, damping as log odds. The error has several
valleys: a level that follows at once, or hardly ever."""
TRIES = 150
"""Errors that are computed from each start."""
LEAST_DAMPING = 0.8
"""A trend that shrinks faster is none."""


def fit_weights(panel: Panel, schema: Schema) -> Weights | None:
    """The weights with the smallest mean absolute scaled error over the whole horizon, of values or of
    their logarithms; None where the seasonal naive forecast has a smaller one, windows are too few, or
    histories too long."""
    origins = panel.origins(schema, "train")
    if len(origins) < LEAST or schema.context > LONGEST:
        return None
    origins = origins[evenly(len(origins), MOST)]
    values, truth = panel.windows(schema, origins).values, panel.ahead(schema, origins)
    usual = panel.usual[panel.series_of(origins)]
    # Once, not with each try: it takes the windows one by one.
    whole = without_gaps(values, schema.season)

    def error(forecast: np.ndarray) -> float:
        return float((np.abs(forecast - truth).mean(axis=1) / usual).mean())

    def fitted(form: dict[str, Any]) -> tuple[float, Weights]:
        def error_of(odds: np.ndarray) -> float:
            weights = _weights(odds, form)
            return error(smoothed(weights, whole, schema.season, schema.horizon))

        options = {"maxfev": TRIES, "xatol": 0.05, "fatol": 1e-4}
        # Nelder-Mead needs no gradient: an absolute error has kinks.
        tried = [
            minimize(error_of, start, method="Nelder-Mead", options=options) for start in STARTS
        ]
        best = min(tried, key=lambda found: float(found.fun))
        return float(best.fun), _weights(best.x, form)

    least, weights = fitted({})
    logs = have_logarithms(whole)
    if logs.any():
        growth = (truth[logs].max(axis=1) / whole[logs].max(axis=1)).max()
        # The error is that in the series' unit, so that the two compare.
        by_logs = fitted({"logarithms": True, "growth": max(1.0, float(growth))})
        if by_logs[0] < least:
            least, weights = by_logs
    if least >= error(seasonal_naive(values, schema.season, schema.horizon)):
        return None
    return weights


def _weights(odds: np.ndarray, form: dict[str, Any]) -> Weights:
    level, trend, season, damping = expit(odds).tolist()
    return Weights(
        level=level,
        trend=trend,
        season=season,
        damping=LEAST_DAMPING + (1 - LEAST_DAMPING) * damping,
        **form,
    )
