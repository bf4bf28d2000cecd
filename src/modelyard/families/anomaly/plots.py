"""The figures that a person who watches machines expects, as data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from modelyard.families.anomaly import scoring
from modelyard.families.anomaly.judged import Judge, Moments, Scored
from modelyard.judging.curves import precision_recall, roc
from modelyard.judging.evaluation import Plot, Series

MOST_POINTS = 400
HIGHEST = 6.0
"""Severities are drawn up to here: a spike would flatten everything else."""
TOP = 12
BINS = 40
DATED = 86_400 * 365, 4.2e9
"""Times between them are taken for seconds since 1970, from 1971 to 2103."""
SMALLER = (1.0, 1e3, 1e6, 1e9)
"""How many of the units that times since 1970 may count in make a second; a smaller unit is only
taken for one where its times lie within DATED."""


def draw(judge: Judge, moments: Moments, scored: Scored, labels: bool) -> dict[str, Any]:
    """`plots`, and `roc` where there are labels."""
    severity = np.minimum(scoring.severity(judge.host.detector, scored.score), HIGHEST)
    figures = [_over_time(judge, moments, severity, labels), _histogram(moments, severity, labels)]
    figures += _alarms(judge, moments, scored)
    if not labels:
        return {"plots": figures}
    known = moments.label >= 0
    y, score = moments.label[known], scored.score[known]
    found = precision_recall(y, score, "detector", MOST_POINTS)
    found = found.model_copy(update={"title": "Precision and recall of rows"})
    return {"roc": roc(y, score, MOST_POINTS), "plots": [*figures[:1], found, *figures[1:]]}


def _over_time(judge: Judge, moments: Moments, severity: np.ndarray, labels: bool) -> Plot:
    """Severity of the series with the most anomalies (or alarms): the highest of each stretch."""
    series = moments.part.series[moments.ends]
    if labels:
        telling = moments.label == 1
    else:
        telling = severity > 1
    # A little for each row: where nothing is told, the longest series.
    most = int(np.argmax(np.bincount(series, weights=telling + 1e-9)))
    rows = np.flatnonzero(series == most)
    stretches = np.array_split(rows, min(MOST_POINTS, len(rows)))
    time = moments.part.time[moments.ends]
    x, unit = _axis([float(time[stretch[-1]]) for stretch in stretches])
    highest = [float(severity[stretch].max()) for stretch in stretches]
    lines = [
        Series(name="severity", x=x, y=highest),
        Series(name="threshold", x=x, y=[1.0] * len(x)),
    ]
    if labels:
        # At half the height of the threshold, so that both are seen.
        ill = [0.5 * float((moments.label[stretch] == 1).any()) for stretch in stretches]
        lines.append(Series(name="labelled anomaly", x=x, y=ill))
    return Plot(
        kind="line",
        title=f"Severity over time, {judge.schema.series[most]}",
        x_label=unit,
        y_label="severity",
        series=lines,
        caption=f"Highest of each of {len(x)} stretches, cut at {HIGHEST:g}; an alarm is above 1.",
    )


def _axis(x: list[float]) -> tuple[list[float], str]:
    unit = _a_second(x[0])
    if unit is None:
        return x, "time"
    start = datetime.fromtimestamp(x[0] / unit, UTC)
    days = [(value - x[0]) / unit / 86_400 for value in x]
    return days, f"days since {start:%Y-%m-%d %H:%M} UTC"


def _a_second(time: float) -> float | None:
    """How much a time grows in a second, where it is one since 1970; None where it is not."""
    for unit in SMALLER:
        if DATED[0] * unit < time < DATED[1] * unit:
            return unit
    return None


def _histogram(moments: Moments, severity: np.ndarray, labels: bool) -> Plot:
    low = float(min(severity.min(), 0))
    groups = {"all": np.ones(len(moments), bool)}
    if labels:
        groups = {"normal": moments.label == 0, "anomaly": moments.label == 1}
    series = []
    for name, rows in groups.items():
        counts, edges = np.histogram(severity[rows], bins=BINS, range=(low, HIGHEST))
        shares = counts / max(int(rows.sum()), 1)
        middles = (edges[1:] + edges[:-1]) / 2
        series.append(Series(name=name, x=middles.tolist(), y=shares.tolist()))
    return Plot(
        kind="line",
        title="Severities",
        x_label="severity",
        y_label="share of rows",
        series=series,
        caption=f"0 is the median normal score, 1 the threshold; cut at {HIGHEST:g}.",
    )


def _alarms(judge: Judge, moments: Moments, scored: Scored) -> list[Plot]:
    """Which columns made the highest alarms, at most one a window of time; shares of the
    positive contributions."""
    chosen: list[int] = []
    for index in np.argsort(-scored.score, kind="stable").tolist():
        if len(chosen) == TOP or not scored.alarm[index]:
            break
        apart = np.abs(moments.ends[chosen] - moments.ends[index])
        if (apart >= judge.window).all():
            chosen.append(index)
    if not chosen:
        return []
    window = judge.host.detector.window
    windows = judge.own(moments.part.windows(moments.ends[chosen], window))
    _, parts = judge.host.judge(judge.run, windows)
    raising = np.maximum(parts, 0)
    shares = raising / np.maximum(raising.sum(axis=1, keepdims=True), 1e-12)
    measure = "Shares of the fall of the score with the column at its expected value."
    if judge.host.detector.error_scale:
        measure = "Shares of the reconstruction error."
        if judge.host.detector.kind == "neighbours":
            measure = "Shares of the squared distance from the nearest training rows."
    return [
        Plot(
            kind="heatmap",
            title="Highest alarms: share of each column",
            matrix=shares.round(4).tolist(),
            rows=[_name(judge, moments, index) for index in chosen],
            columns=judge.host.schema.names,
            caption="Largest score first, by number of the series and time; alarms within a window of one another are "
            f"counted once. {measure}",
        )
    ]


def _name(judge: Judge, moments: Moments, index: int) -> str:
    """Short, for a row of a heatmap: the series' number and the time."""
    row = moments.ends[index]
    time = float(moments.part.time[row])
    unit = _a_second(time)
    if unit is None:
        shown = f"{time:g}"
    else:
        shown = f"{datetime.fromtimestamp(time / unit, UTC):%m-%d %H:%M}"
    number = int(moments.part.series[row]) + 1
    if len(judge.schema.series) > 1:
        return f"{number}: {shown}"
    return shown
