"""What a forecast sees of a series: the one place where history becomes the graph's input, in
training and in serving. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelyard.families.forecast.grid import Grid
from modelyard.families.forecast.holt_winters import Weights, smoothed
from modelyard.kit.assets import Asset
from modelyard.runtimes.types import Arrays
from modelyard.settings.family import DateOrder

FARTHEST = 50.0
"""Scaled inputs are kept within this distance of 0."""


class Column(BaseModel):
    """A column besides the target, with figures of its training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mean: float
    spread: float
    """Standard deviation; 1 for a constant."""
    minimum: float
    maximum: float


FLAT = 1e-9
"""A history with less spread, by its level, has none."""


class Schema(Asset):
    """`schema.json`: what a series consists of, and how far is looked back and ahead."""

    FILE: ClassVar[str] = "schema.json"

    target: str
    wide: bool
    """Whether each column of numbers is a series."""
    time_column: str | None
    series_columns: list[str]
    row_names: tuple[str, ...] | None = None
    """Where each row of the training files was a series: the columns that named it."""
    past: list[Column]
    """Known up to now."""
    known: list[Column]
    """Known for the steps ahead too."""
    grid: Grid
    missing: Literal["unknown", "zero"]
    """What a step without a value means."""
    dates: DateOrder = "auto"
    """How the training data wrote dates such as 01/02/2026: files to answer, where they do not show
    it, are read so."""
    season: int
    context: int
    horizon: int
    quantiles: list[float]
    minimum: float
    maximum: float
    """Of the target's training values."""
    usual: tuple[float, float] | None = None
    """Median spread of training histories that vary, by their level and in the target's unit: what a
    history without any spread is scaled by, see `spread_of`. None in packages of earlier versions."""
    smoothing: Weights | None = None
    """Of the exponential smoothing that the network adds to; None: it adds to the seasonal naive
    forecast, as in packages of earlier versions."""
    example: list[float | None]
    """Values of a training series, `context` of them."""
    example_time: float
    """Of the first of them."""

    @property
    def least_history(self) -> int:
        """Steps of a series before the first one that is forecast."""
        return min(self.context, 2 * self.season)

    @property
    def history_width(self) -> int:
        """Numbers a step of the graph's `history`."""
        return 2 + len(self.past) + len(self.known) + self.grid.parts

    @property
    def future_width(self) -> int:
        """Numbers a step of the graph's `future`."""
        return 1 + len(self.known) + self.grid.parts


@dataclass(frozen=True)
class Windows:
    """Some histories, as their series have them; NaN where a value is missing."""

    values: np.ndarray
    """Float64 (windows, context)."""
    times: np.ndarray
    """Seconds, float64 (windows, context + horizon)."""
    past: np.ndarray
    """(windows, context, past columns)."""
    known: np.ndarray
    """(windows, context + horizon, known columns)."""


@dataclass(frozen=True)
class Inputs:
    """Scaled windows; `level + scale * x` is a number of the series again."""

    arrays: Arrays
    """`history` float32 (windows, context, …) and `future` (windows, horizon, …)."""
    level: np.ndarray
    scale: np.ndarray
    """Float64 (windows,)."""
    naive: np.ndarray
    """The seasonal naive forecast in the series' unit, float64 (windows, horizon)."""

    def restored(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled numbers (windows, …) in the series' unit, float64."""
        shape = (-1, *[1] * (scaled.ndim - 1))
        return np.asarray(self.level.reshape(shape) + self.scale.reshape(shape) * scaled)


def inputs_of(schema: Schema, windows: Windows) -> Inputs:
    """What the graph sees. Each window is scaled by its own history: a network then serves series of
    any size. A missing value is 0 there, and marked."""
    there = np.isfinite(windows.values)
    count = np.maximum(there.sum(axis=1), 1)
    values = np.where(there, windows.values, 0.0)
    level = values.sum(axis=1) / count
    off = np.where(there, values - level[:, None], 0.0)
    scale = spread_of(schema, level, np.sqrt((off**2).sum(axis=1) / count))
    naive = seasonal_naive(windows.values, schema.season, schema.horizon)
    naive = np.where(np.isfinite(naive), naive, level[:, None])
    simple = naive
    if schema.smoothing is not None:
        simple = smoothed(schema.smoothing, windows.values, schema.season, schema.horizon)
    if schema.grid.dated:
        calendar = schema.grid.calendar(windows.times)
    else:
        calendar = None
    known = _scaled(windows.known, schema.known)
    history = [off / scale[:, None], there, *_columns(_scaled(windows.past, schema.past))]
    history += _columns(known[:, : schema.context])
    future = [(simple - level[:, None]) / scale[:, None], *_columns(known[:, schema.context :])]
    if calendar is not None:
        # Where nothing is there, what lies before a series looks like a gap in it.
        history += _columns(calendar[:, : schema.context] * there[..., None])
        future += _columns(calendar[:, schema.context :])
    arrays = {"history": _stacked(history), "future": _stacked(future)}
    return Inputs(arrays, level, scale, naive)


def spread_of(schema: Schema, level: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """What windows are scaled by, float64 (windows,): their spread, or where all values are the same
    the usual one of such a level. By its level, what a network adds would be as large as that."""
    flat = spread <= FLAT * np.abs(level)
    if schema.usual is None:
        return np.where(flat, np.maximum(np.abs(level), 1.0), spread)
    relative, absolute = schema.usual
    # A level of 0 has no share of itself.
    return np.where(flat, np.where(level == 0, absolute, relative * np.abs(level)), spread)


def usual_spread(values: np.ndarray) -> tuple[float, float] | None:
    """`Schema.usual` of training histories, float64 (windows, context); None where none varies."""
    level, spread = np.nanmean(values, axis=1), np.nanstd(values, axis=1)
    varied = spread > FLAT * np.abs(level)
    if not varied.any():
        return None
    sizes = np.abs(level[varied])
    # Around a level near 0 the ratio may be anything: 1 at most.
    relative = spread[varied] / np.maximum(sizes, spread[varied])
    return float(np.median(relative)), float(np.median(spread[varied]))


def seasonal_naive(values: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The value a season before each step ahead, float64 (windows, horizon): of earlier seasons
    where it is missing, else the latest of all. NaN for a history without a value."""
    length = values.shape[1]
    found = np.full((len(values), horizon), np.nan)
    ahead = np.arange(horizon)
    back = season - ahead % season
    while np.isnan(found).any() and (back <= length).any():
        inside = back <= length
        seen = values[:, length - np.where(inside, back, length)]
        found = np.where(np.isnan(found) & inside, seen, found)
        back = back + season
    there = np.isfinite(values)
    # From the end: the first that is there is the latest.
    latest = length - 1 - np.argmax(there[:, ::-1], axis=1)
    last = values[np.arange(len(values)), latest]
    return np.asarray(np.where(np.isnan(found), last[:, None], found))


def _scaled(cells: np.ndarray, columns: list[Column]) -> np.ndarray:
    """Standardized; a missing cell counts as the training mean."""
    mean = np.array([column.mean for column in columns])
    spread = np.array([column.spread for column in columns])
    return np.asarray(np.nan_to_num((cells - mean) / spread, nan=0.0))


def _columns(cells: np.ndarray) -> list[np.ndarray]:
    return list(np.moveaxis(cells, -1, 0))


def _stacked(columns: list[np.ndarray]) -> np.ndarray:
    return np.stack(columns, axis=-1).clip(-FARTHEST, FARTHEST).astype(np.float32)
