"""The layout of a features folder: series one after the other, and their windows. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.families.forecast.window import Schema, Windows
from modelyard.family import Split
from modelyard.kit.arrays import load_named

FILE = "panel.npz"
SMOOTHED = "smoothing.npz"
"""Forecasts by exponential smoothing, see `baselines`."""
LEAST_HISTORY = 0.5
"""Share of a history that must be there; a later start has no other."""


@dataclass(frozen=True)
class Panel:
    """Every step of every series, series after series; NaN where a value is missing."""

    y: np.ndarray
    """Float64 (steps,)."""
    time: np.ndarray
    """Seconds, or numbers that count, float64 (steps,)."""
    behind: np.ndarray
    """Seconds by which the data's clock is behind `time`, float64 (steps,)."""
    past: np.ndarray
    """(steps, past columns)."""
    known: np.ndarray
    """(steps, known columns)."""
    start: np.ndarray
    """First step of each series, and the end of the last, int64 (series + 1,)."""
    validation: np.ndarray
    test: np.ndarray
    """First step of these splits in each series, int64 (series,)."""
    usual: np.ndarray
    """Mean absolute error of the seasonal naive forecast, one step ahead, over the training steps of
    each series, float64 (series,): what MASE is scaled by (Hyndman and Koehler 2006)."""

    @property
    def series(self) -> np.ndarray:
        """Number of each step's series, int64 (steps,)."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    def bounds(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """First and last but one step of a split in each series."""
        if split == "train":
            return self.start[:-1], self.validation
        if split == "validation":
            return self.validation, self.test
        return self.test, self.start[1:]

    def origins(self, schema: Schema, split: Split, stride: int = 1) -> np.ndarray:
        """First steps ahead of the split's windows, `stride` apart, int64: all steps ahead lie in the
        split and are there, and enough of the history."""
        origins = self.inside(schema, split, stride)
        begin = self.start[self.series_of(origins)]
        # Values before each step: the difference of two counts those between.
        there = np.concatenate([[0], np.cumsum(np.isfinite(self.y))])
        seen = there[origins] - there[np.maximum(origins - schema.context, begin)]
        whole = there[origins + schema.horizon] - there[origins] == schema.horizon
        enough = seen >= LEAST_HISTORY * schema.least_history
        return np.asarray(origins[whole & enough])

    def inside(self, schema: Schema, split: Split, stride: int) -> np.ndarray:
        """The same whether the values are there or not, int64."""
        found = []
        for begin, low, high in zip(self.start[:-1], *self.bounds(split), strict=True):
            first = max(low, begin + schema.least_history)
            found.append(np.arange(first, high - schema.horizon + 1, stride))
        return np.concatenate(found).astype(np.int64)

    def windows(self, schema: Schema, origins: np.ndarray) -> Windows:
        """The windows before these steps, and what is known of the steps ahead."""
        begin = self.start[self.series_of(origins)]
        back = origins[:, None] + np.arange(-schema.context, 0)
        ahead = origins[:, None] + np.arange(schema.horizon)
        outside = back < begin[:, None]
        # Before a series begins any step of it stands in; it is made missing below.
        back = np.maximum(back, begin[:, None])
        steps = np.concatenate([back, ahead], axis=1)
        values = np.where(outside, np.nan, self.y[back])
        past = np.where(outside[..., None], np.nan, self.past[back])
        known = self.known[steps]
        known[:, : schema.context][outside] = np.nan
        # By the clock at the end of the history, as whoever asks for a forecast writes it.
        times = self.time[steps] - self.behind[origins - 1][:, None]
        return Windows(values, times, past, known)

    def ahead(self, schema: Schema, origins: np.ndarray) -> np.ndarray:
        """What came, float64 (windows, horizon)."""
        return np.asarray(self.y[origins[:, None] + np.arange(schema.horizon)])

    def series_of(self, steps: np.ndarray) -> np.ndarray:
        """Number of the series that each step lies in."""
        return np.searchsorted(self.start, steps, side="right") - 1

    def save(self, features: Path) -> None:
        """Writes `panel.npz`."""
        np.savez(Path(features) / FILE, **vars(self))

    @classmethod
    def load(cls, features: Path) -> Panel:
        """Reads `panel.npz`."""
        return cls(**load_named(Path(features) / FILE))
