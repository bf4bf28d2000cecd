"""Exponential smoothing with trend and season (Holt-Winters), by statsmodels: what a forecast of a
single series must beat. Fitted on the training steps; made once, with the features."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from statsmodels.tools.sm_exceptions import ConvergenceWarning
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from modelyard.families.forecast.panel import SMOOTHED, Panel
from modelyard.families.forecast.window import Schema
from modelyard.family import Split
from modelyard.kit.splits import evenly

MOST_SERIES = 50
"""Series that are smoothed, evenly spread: each takes a fraction of a second."""
MOST_ORIGINS = 6
"""Forecasts of each series and split."""
LONGEST = 1000
"""Latest training steps that are fitted."""
WEIGHTS = ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend")


def save(panel: Panel, schema: Schema, features: Path) -> None:
    """Writes `smoothing.npz`: by split the first steps ahead and their forecasts, float32 (windows,
    horizon)."""
    splits: tuple[Split, ...] = ("validation", "test")
    smoothings = {}
    for number in evenly(len(panel.usual), MOST_SERIES).tolist():
        smoothings[number] = Smoothing(panel, schema, number)
    arrays: dict[str, Any] = {}
    for split in splits:
        origins = panel.origins(schema, split, schema.horizon)
        series = panel.series_of(origins)
        kept, found = [], []
        for number, smoothing in smoothings.items():
            own = origins[series == number][-MOST_ORIGINS:]
            kept.append(own)
            found.append(smoothing.forecasts(own))
        arrays[split] = np.concatenate(kept)
        arrays[f"{split}_forecasts"] = np.concatenate(found).astype(np.float32)
    np.savez(Path(features) / SMOOTHED, **arrays)


class Smoothing:
    """One series, smoothed with the weights that fit its training steps."""

    def __init__(self, panel: Panel, schema: Schema, series: int) -> None:
        self.start, self.horizon = int(panel.start[series]), schema.horizon
        self.y = panel.y[self.start : panel.start[series + 1]]
        end = int(panel.validation[series]) - self.start
        self.first = max(0, end - LONGEST)
        train = self._until(end)
        self.form: dict[str, Any] = {"trend": "add", "damped_trend": True}
        # The heuristic of statsmodels needs two whole seasons, and ten values without one.
        if schema.season > 1 and 2 * schema.season < len(train):
            self.form |= {"seasonal": "add", "seasonal_periods": schema.season}
        if len(train) >= 10:
            self.form["initialization_method"] = "heuristic"
        else:
            self.form["initialization_method"] = "estimated"
        # Its measures of fit take the logarithm of an error that can be 0.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # The search for the weights ended early: what it found is what is compared.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = self._model(train).fit().params
        self.weights = {name: fitted[name] for name in WEIGHTS if np.isfinite(fitted[name])}

    def forecasts(self, origins: np.ndarray) -> np.ndarray:
        """What it expects from these steps on, each from the steps before, float64 (windows,
        horizon)."""
        found = np.empty((len(origins), self.horizon))
        for number, origin in enumerate((origins - self.start).tolist()):
            model = self._model(self._until(origin))
            with np.errstate(all="ignore"):
                fitted = model.fit(optimized=False, **self.weights)
                found[number] = fitted.forecast(self.horizon)
        return found

    def _until(self, end: int) -> np.ndarray:
        """The values before a step, without gaps. They are filled of these alone: a line to the next
        value would know what came."""
        return _without_gaps(self.y[:end])[self.first :]

    def _model(self, values: np.ndarray) -> Any:
        return ExponentialSmoothing(values, **self.form)


def _without_gaps(y: np.ndarray) -> np.ndarray:
    """The method needs every step: missing ones lie on a line between their neighbours, at the end on
    the level of the last."""
    there = np.flatnonzero(np.isfinite(y))
    return np.asarray(np.interp(np.arange(len(y)), there, y[there]))
