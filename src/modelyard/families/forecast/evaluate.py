"""Judges forecasts at rolling origins of a split, next to the seasonal naive and
exponential smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.forecast import plots
from modelyard.families.forecast.backtest import TRADING, with_trading
from modelyard.families.forecast.config import ForecastTrading, Kind
from modelyard.families.forecast.panel import SMOOTHED, Panel
from modelyard.families.forecast.window import Schema, inputs_of
from modelyard.judging.evaluation import Evaluation, Gain
from modelyard.kit.arrays import load_named
from modelyard.kit.intervals import FEW_GROUPS, mean_of, resample
from modelyard.kit.splits import evenly

if TYPE_CHECKING:
    from modelyard.families.forecast.host import ForecastHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

BASELINE, SMOOTHING = "seasonal naive", "exponential smoothing"
MOST = 5_000
"""Windows that are judged, evenly spread."""
AT_ONCE = 512
BY_ROW = "windows of one series are not independent, so intervals are rather narrow"
BY_SERIES = "intervals are those of drawing whole series, whose windows are not independent"


@dataclass(frozen=True)
class Judged:
    """Forecasts of windows and what came, in the series' unit."""

    origins: np.ndarray
    truth: np.ndarray
    """Float64 (windows, horizon)."""
    quantiles: np.ndarray
    """(windows, horizon, quantiles)."""
    naive: np.ndarray
    """(windows, horizon)."""
    levels: np.ndarray
    usual: np.ndarray
    """Usual error of each window's series, (windows,)."""
    series: np.ndarray
    """Number of each window's series, (windows,)."""
    gaps: int
    """Further windows that lack a value to judge by, or half of their history."""

    @property
    def median(self) -> np.ndarray:
        """(windows, horizon)."""
        return np.asarray(self.quantiles[..., int(np.argmin(np.abs(self.levels - 0.5)))])

    def scaled(self, forecast: np.ndarray) -> np.ndarray:
        """Mean absolute scaled error of each window, (windows,)."""
        return np.asarray(np.abs(self.truth - forecast).mean(axis=1) / self.usual)


def evaluate(
    host: ForecastHost,
    run: Runtime,
    features: Path,
    split: Split = "test",
    kind: Kind | None = None,
) -> Evaluation:
    """MASE, sMAPE, weighted quantile loss, MAE, RMSE, and how far the share that the outer quantiles hold
    is from what was asked for."""
    judged = _judge(host, run, features, split)
    # The seasonal naive has no quantiles: each is its one value.
    flat = np.repeat(judged.naive[..., None], len(judged.levels), axis=2)
    metrics = _metrics(judged, judged.median, judged.quantiles)
    baseline = _metrics(judged, judged.naive, flat)
    low, high = judged.levels[0], judged.levels[-1]
    above_low = judged.truth >= judged.quantiles[..., 0]
    below_high = judged.truth <= judged.quantiles[..., -1]
    inside = above_low & below_high
    metrics["coverage_gap"] = float(abs(inside.mean() - (high - low)))
    errors = judged.scaled(judged.median)
    if len(np.unique(judged.series)) >= FEW_GROUPS:
        series, about = judged.series, BY_SERIES
    else:
        series, about = None, BY_ROW
    drawn = resample(
        mean_of,
        np.zeros(len(judged.truth)),
        errors,
        judged.scaled(judged.naive),
        varied=False,
        groups=series,
    )
    compared = drawn.compared("mase", "min", BASELINE)
    notes = [
        f"{len(judged.truth):,} forecasts of {judged.truth.shape[1]} steps, each from another step of "
        f"its series on; {about}.",
        f"The {low:.0%} and {high:.0%} quantiles hold {inside.mean():.1%} of what came; "
        f"{high - low:.0%} was asked for.",
    ]
    if judged.gaps:
        notes.append(
            f"{judged.gaps:,} further ones are not judged: a step ahead has no value, or half of the "
            "history has none."
        )
    gains, note = _against_smoothing(judged, features, split, errors, series)
    compared["gains"] += gains
    notes += note
    if kind != "smoothing" and any(gain.value < 0 for gain in gains):
        notes[-1] += " For a few short series: --set model.kind=smoothing."
    found = Evaluation(
        split=split,
        rows=len(judged.truth),
        unit="forecasts",
        metrics=metrics,
        baseline=baseline,
        baseline_name=BASELINE,
        directions=dict.fromkeys(metrics, "min"),
        **compared,
        notes=notes,
        plots=plots.draw(judged, Panel.load(features), host.schema),
    )
    file = Path(features) / TRADING
    if not file.is_file():
        return found
    panel, own = Panel.load(features), Schema.load(Path(features) / "assets")
    trading = ForecastTrading.model_validate_json(file.read_text())
    return with_trading(found, host, run, panel, own, trading, split)


def _against_smoothing(
    judged: Judged, features: Path, split: Split, errors: np.ndarray, series: np.ndarray | None
) -> tuple[list[Gain], list[str]]:
    """What the model gains on exponential smoothing, where that was fitted, and a note on it; empty
    lists where it was not."""
    smoothed = _smoothing(judged, features, split)
    if smoothed is None:
        return [], []
    rows, forecasts = smoothed
    ours = errors[rows]
    other = np.abs(judged.truth[rows] - forecasts).mean(axis=1) / judged.usual[rows]
    groups = None if series is None else series[rows]
    against = resample(mean_of, np.zeros(len(rows)), ours, other, varied=False, groups=groups)
    note = (
        f"On {len(rows):,} of them, exponential smoothing (Holt-Winters by statsmodels, fitted on the "
        f"training steps) has a MASE of {other.mean():.4g}, the model {ours.mean():.4g}."
    )
    return against.gains("mase", "min", SMOOTHING), [note]


def _judge(host: ForecastHost, run: Runtime, features: Path, split: Split) -> Judged:
    panel, own = Panel.load(features), Schema.load(Path(features) / "assets")
    origins = panel.origins(own, split, own.horizon)
    gaps = len(panel.inside(own, split, own.horizon)) - len(origins)
    origins = origins[evenly(len(origins), MOST)]
    quantiles, naive = [], []
    for some in np.array_split(origins, max(1, len(origins) // AT_ONCE)):
        # The host looks back as far as it was trained to; the baseline is that of the data.
        seen = inputs_of(host.schema, panel.windows(host.schema, some))
        quantiles.append(host.forecast(run, seen))
        naive.append(inputs_of(own, panel.windows(own, some)).naive)
    series = panel.series_of(origins)
    return Judged(
        origins,
        panel.ahead(own, origins),
        np.concatenate(quantiles),
        np.concatenate(naive),
        np.array(host.schema.quantiles),
        panel.usual[series],
        series,
        gaps,
    )


def _metrics(judged: Judged, point: np.ndarray, quantiles: np.ndarray) -> dict[str, float]:
    off = np.abs(judged.truth - point)
    size = np.abs(judged.truth) + np.abs(point)
    apart = judged.truth[..., None] - quantiles
    pinball = np.maximum(judged.levels * apart, (judged.levels - 1) * apart)
    total = float(np.abs(judged.truth).sum()) or 1.0
    return {
        "mase": float(judged.scaled(point).mean()),
        # Where both are 0 there is no error to divide.
        "smape": float((2 * off / np.where(size > 0, size, 1)).mean()),
        "weighted_quantile_loss": float(2 * pinball.sum(axis=(0, 1)).mean() / total),
        "mae": float(off.mean()),
        "rmse": float(np.sqrt((off**2).mean())),
    }


def _smoothing(judged: Judged, features: Path, split: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Windows that exponential smoothing answered, and its forecasts."""
    arrays = load_named(Path(features) / SMOOTHED)
    origins, forecasts = arrays[split], arrays[f"{split}_forecasts"]
    _, rows, places = np.intersect1d(judged.origins, origins, return_indices=True)
    if len(rows) >= 2:
        return rows, forecasts[places]
    return None
