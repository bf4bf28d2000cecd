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
    origins = {split: panel.origins(schema, split, schema.horizon) for split in splits}
    kept: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    found: dict[str, list[np.ndarray]] = {split: [] for split in splits}
    for number in evenly(len(panel.usual), MOST_SERIES).tolist():
        smoothing = Smoothing(panel, schema, number)
        for split in splits:
            own = origins[split][panel.series_of(origins[split]) == number][-MOST_ORIGINS:]
            kept[split].append(own)
            found[split].append(smoothing.forecasts(own))
    arrays: dict[str, Any] = {split: np.concatenate(kept[split]) for split in splits}
    for split in splits:
        arrays[f"{split}_forecasts"] = np.concatenate(found[split]).astype(np.float32)
    np.savez(Path(features) / SMOOTHED, **arrays)


class Smoothing:
    """One series, smoothed with the weights that fit its training steps."""

    def __init__(self, panel: Panel, schema: Schema, series: int) -> None:
        self.start, self.horizon = int(panel.start[series]), schema.horizon
        self.whole = _without_gaps(panel.y[self.start : panel.start[series + 1]])
        end = int(panel.validation[series]) - self.start
        self.first = max(0, end - LONGEST)
        train = self.whole[self.first : end]
        seasonal = schema.season > 1 and 2 * schema.season < len(train)
        self.form = {
            "trend": "add",
            "damped_trend": True,
            "seasonal": "add" if seasonal else None,
            "seasonal_periods": schema.season if seasonal else None,
            "initialization_method": "heuristic" if len(train) >= 10 else "estimated",
        }
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
            model = self._model(self.whole[self.first : origin])
            with np.errstate(all="ignore"):
                fitted = model.fit(optimized=False, **self.weights)
                found[number] = fitted.forecast(self.horizon)
        return found

    def _model(self, values: np.ndarray) -> Any:
        return ExponentialSmoothing(values, **self.form)


def _without_gaps(y: np.ndarray) -> np.ndarray:
    """The method needs every step: missing ones lie on a line between their neighbours."""
    there = np.flatnonzero(np.isfinite(y))
    return np.asarray(np.interp(np.arange(len(y)), there, y[there]))
