"""Which series are long enough for all splits, their season, and the panel of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.forecast.config import ForecastFeatures
from modelyard.families.forecast.naming import Names
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.reading import OneSeries
from modelyard.families.forecast.window import Schema
from modelyard.family import Split

LONGEST = 512
"""Steps of a history, where the settings give none."""
SPAN = 6
"""Horizons that a series should have room for: of fewer, training holds hardly a forecast."""
STRONG = 0.3
"""Autocorrelation from which on a lag counts as a season."""


def long_enough(
    every: list[OneSeries], settings: ForecastFeatures, context: int, season: int, file: Path
) -> list[OneSeries]:
    """The series that have steps for all splits.

    Raises:
        BadData: none has.
    """
    kept = [one for one in every if cuts(one, settings, context, season) is not None]
    if kept:
        return kept
    longest = max(len(series.y) for series in every)
    least = min(context, 2 * season) + 3 * settings.horizon
    problem = f"the longest series has {longest} steps; about {least} are needed"
    hint = "Give longer series"
    if (shorter := _what_fits(every, settings, context, season)) is not None:
        hint += f", or forecast fewer steps: {shorter}"
    raise BadData(problem, file=file, hint=hint)


def _what_fits(
    every: list[OneSeries], settings: ForecastFeatures, context: int, season: int
) -> str | None:
    """Options with the longest horizon for which some series is long enough; without a season where
    it is only long enough so."""
    most = max(len(one.y) for one in every) // SPAN
    for usual in (season, 1):
        for horizon in range(min(settings.horizon, most), 0, -1):
            shorter = settings.model_copy(update={"horizon": horizon})
            if any(cuts(one, shorter, context, usual) is not None for one in every):
                options = f"--set features.horizon={horizon}"
                if usual != season:
                    options += f" --set features.season={usual}"
                return options
    return None


def cuts(
    one: OneSeries, settings: ForecastFeatures, context: int, season: int
) -> tuple[int, int] | None:
    """First steps of validation and test; None: the series is too short for a window in each."""
    length = len(one.y)
    test = length - max(int(length * settings.test_share), settings.horizon)
    validation = test - max(int(length * settings.validation_share), settings.horizon)
    least = min(context, 2 * season) + settings.horizon
    if validation >= least:
        return validation, test
    return None


def panel_of(
    kept: list[OneSeries], settings: ForecastFeatures, names: Names, context: int, season: int
) -> Panel:
    """Series one after the other."""
    lengths = [len(series.y) for series in kept]
    start = np.cumsum([0, *lengths])
    found, usual = [], []
    for series in kept:
        places = cuts(series, settings, context, season)
        assert places is not None, "such series were left out"
        found.append(places)
        usual.append(usual_error(series.y[: places[0]], season))
    validation, test = np.array(found).T + start[:-1]
    others = np.concatenate([series.others[: len(series.y)] for series in kept])
    return Panel(
        y=np.concatenate([series.y for series in kept]),
        time=np.concatenate([series.time for series in kept]),
        behind=np.concatenate([series.behind for series in kept]),
        past=others[:, : len(names.past)],
        known=others[:, len(names.past) :],
        start=start,
        validation=validation,
        test=test,
        usual=np.array(usual),
    )


def check_whole(panel: Panel, schema: Schema, file: Path) -> None:
    """Refuses series with so many gaps that a split has no forecast to learn or to judge.

    Raises:
        BadData: which split.
    """
    # How far apart those are that training looks at, each epoch's validation and judging.
    half = max(1, schema.horizon // 2)
    strides: dict[Split, tuple[int, ...]] = {
        "train": (1,),
        "validation": (half, schema.horizon),
        "test": (schema.horizon,),
    }
    for split, needed in strides.items():
        for stride in needed:
            if len(panel.origins(schema, split, stride)):
                continue
            problem = (
                f"no stretch of {schema.horizon} steps in the {split} split has all its values and "
                "half of a history before it"
            )
            hint = "Lower features.horizon; where a gap means nothing: --set features.missing=zero"
            raise BadData(problem, file=file, column=schema.target, hint=hint)


def usual_error(y: np.ndarray, season: int) -> float:
    """Mean absolute difference from the value a season before; of a series that repeats exactly, its
    mean size."""
    lag = 1
    if len(y) > season:
        lag = season
    apart = np.abs(y[lag:] - y[:-lag])
    apart = apart[np.isfinite(apart)]
    if apart.any():
        return float(apart.mean())
    # By an error of 0 nothing can be divided, nor by a size of 0.
    return float(np.nanmean(np.abs(y))) or 1.0


def strongest_lag(every: list[OneSeries]) -> int:
    """The lag at which the changes of the longest series are most alike; 1: at none."""
    longest = max(every, key=lambda one: len(one.y)).y
    # Of changes: values of a series with a trend are alike at every lag.
    changes = np.diff(longest[np.isfinite(longest)])
    most = min(len(changes) // 3, LONGEST // 2)
    if most < 3:
        return 1
    changes = changes - changes.mean()
    power = float((changes**2).sum())
    if power == 0:
        return 1
    lags = range(2, most)
    found = [float((changes[lag:] * changes[:-lag]).sum()) / power for lag in lags]
    best = int(np.argmax(found))
    if found[best] < STRONG:
        return 1
    return lags[best]
