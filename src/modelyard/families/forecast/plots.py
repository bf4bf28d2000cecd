"""What a forecaster looks at, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.forecast.grid import texts
from modelyard.families.forecast.panel import Panel
from modelyard.families.forecast.window import Schema
from modelyard.judging.evaluation import Plot, Series

if TYPE_CHECKING:
    from modelyard.families.forecast.evaluate import Judged


def draw(judged: Judged, panel: Panel, schema: Schema) -> list[Plot]:
    """Forecasts with their bands, of the median window and the worst; errors by step ahead; how often
    quantiles hold."""
    order = np.argsort(judged.scaled(judged.median), kind="stable")
    middle, worst = int(order[len(order) // 2]), int(order[-1])
    return [
        _window(judged, panel, schema, middle, "A forecast of median error"),
        _window(judged, panel, schema, worst, "The worst forecast"),
        _by_step(judged),
        _calibration(judged),
    ]


def _window(judged: Judged, panel: Panel, schema: Schema, number: int, title: str) -> Plot:
    origin, series = int(judged.origins[number]), int(judged.series[number])
    begin = max(int(panel.start[series]), origin - 3 * schema.horizon)
    back = list(range(begin - origin, 0))
    ahead = list(range(schema.horizon))
    there = [step for step in back + ahead if np.isfinite(panel.y[origin + step])]
    low, high = judged.quantiles[number, :, 0], judged.quantiles[number, :, -1]
    shares = f"{judged.levels[0]:.0%} to {judged.levels[-1]:.0%}"
    band = _line(f"quantiles {shares}", ahead, low.tolist())
    lines = [
        _line("what came", there, [float(panel.y[origin + step]) for step in there]),
        _line("median forecast", ahead, judged.median[number].tolist()),
        band.model_copy(update={"high": high.tolist()}),
        _line("seasonal naive", ahead, judged.naive[number].tolist()),
    ]
    if schema.grid.dated:
        when = f", from {texts(panel.time[[origin]] - panel.behind[origin])[0]} on"
    else:
        when = ""
    return Plot(
        kind="line",
        title=title,
        x_label=f"steps of {schema.grid.words}",
        y_label=schema.target,
        series=lines,
        caption=f"Series {series + 1} in the order of the table{when}.",
    )


def _by_step(judged: Judged) -> Plot:
    steps = list(range(1, judged.truth.shape[1] + 1))
    usual = judged.usual[:, None]
    lines = []
    for name, found in (("model", judged.median), ("seasonal naive", judged.naive)):
        errors = np.abs(judged.truth - found) / usual
        lines.append(_line(name, steps, errors.mean(axis=0).tolist()))
    return Plot(
        kind="line",
        title="Error by step ahead",
        x_label="steps ahead",
        y_label="mean absolute scaled error",
        series=lines,
    )


def _calibration(judged: Judged) -> Plot:
    below = (judged.truth[..., None] <= judged.quantiles).mean(axis=(0, 1))
    return Plot(
        kind="line",
        title="Calibration of quantiles",
        x_label="quantile",
        y_label="share of what came below it",
        series=[_line("model", judged.levels.tolist(), below.tolist())],
        diagonal=True,
    )


def _line(name: str, x: list[float] | list[int], y: list[float]) -> Series:
    return Series(name=name, x=[float(value) for value in x], y=y)
