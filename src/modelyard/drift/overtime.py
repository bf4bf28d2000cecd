"""Drift over time: looks, effects by column, retrainings and champions, as tables and curves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from modelyard.card import grids
from modelyard.card.grids import Grid
from modelyard.drift.history import MOST_COLUMNS, History, Look
from modelyard.drift.quality import Quality
from modelyard.judging.evaluation import Plot, Series
from modelyard.registry.versions import Change

_DAY = 86_400.0


def looks_grid(name: str, looks: Sequence[Look]) -> Grid:
    """A row a look at a registered name, in their order; with the error where labels came."""
    labelled = [look.quality for look in looks if look.quality is not None]
    columns = ["look", "version", "rows", "verdict", "drifted columns (effect)", "retraining"]
    if labelled:
        columns.append(f"{labelled[-1].measure} (95 %)")
    rows = []
    for look in looks:
        row = [
            stamp(look.at),
            look.model.removeprefix(f"{name}@"),
            f"{look.rows:,}",
            look.status,
            _words(look),
            "requested" if look.retrains else "",
        ]
        if labelled:
            row.append(_error(look.quality))
        rows.append(row)
    return Grid("Looks", columns, rows)


def champions_grid(changes: Sequence[Change]) -> Grid:
    """A row a change of the champion."""
    rows = []
    for change in changes:
        version = f"{change.before or '-'} → {change.after}"
        rows.append([stamp(change.when), version, change.by, change.why])
    return Grid("Champions", ["when", "version", "by", "why"], rows)


def plots(history: History) -> list[Plot]:
    """Effects of the columns that drifted, and rows, over time."""
    looks = history.looks
    if len(looks) < 2:
        return []
    newest = looks[-1].at
    # A plot's axis holds numbers, not dates.
    days = [(look.at - newest).total_seconds() / _DAY for look in looks]
    label = "days before the newest look"
    found = []
    if history.columns:
        found.append(_effects(history, days, label))
    if any(look.quality is not None for look in looks):
        found.append(_errors(looks, days, label))
    rows = Series(name="rows", x=days, y=[float(look.rows) for look in looks])
    found.append(
        Plot(kind="line", title="rows compared", x_label=label, y_label="rows", series=[rows])
    )
    return found


def _effects(history: History, days: Sequence[float], label: str) -> Plot:
    """The effects of the columns that drifted, over time; a look that had no such column has 0."""
    # More curves than this nobody tells apart.
    shown = history.columns[:MOST_COLUMNS]
    series = []
    for name in shown:
        effects = [look.effects.get(name, 0.0) for look in history.looks]
        series.append(Series(name=name, x=list(days), y=effects))
    captions = []
    if left := len(history.columns) - len(shown):
        captions.append(f"{left} more columns drifted less often.")
    retrained = []
    for day, look in zip(days, history.looks, strict=True):
        if look.retrains:
            retrained.append(f"{abs(day):.1f}")
    if retrained:
        days_ago = ", ".join(retrained)
        captions.append(f"Retrainings were requested {days_ago} days before the newest look.")
    return Plot(
        kind="line",
        title="effect in the columns that ever drifted",
        x_label=label,
        y_label="effect",
        series=series,
        caption=" ".join(captions),
    )


def _errors(looks: Sequence[Look], days: Sequence[float], label: str) -> Plot:
    """The mean error of labelled answers with its interval, over time."""
    seen: dict[float, Quality] = {}
    before: dict[float, float] = {}
    for day, look in zip(days, looks, strict=True):
        if look.quality is None:
            continue
        seen[day] = look.quality
        if look.quality.reference is not None:
            before[day] = look.quality.reference
    x, qualities = list(seen), list(seen.values())
    low = [quality.low for quality in qualities]
    high = [quality.high for quality in qualities]
    values = [quality.value for quality in qualities]
    series = [
        Series(name="95 %", x=x, y=low, high=high),
        Series(name="labelled answers", x=x, y=values),
    ]
    if before:
        series.append(Series(name="test data", x=list(before), y=list(before.values())))
    measure = qualities[-1].measure
    return Plot(
        kind="line",
        title=f"{measure} where labels came",
        x_label=label,
        y_label=measure,
        series=series,
    )


def _error(quality: Quality | None) -> str:
    if quality is None:
        return ""
    return f"{quality.value:.3g} ({quality.low:.3g} to {quality.high:.3g})"


def notes(history: History) -> list[str]:
    """What could not be read."""
    return [f"{file} could not be read and is left out" for file in history.unreadable]


def page(history: History, changes: Sequence[Change]) -> str:
    """All of it on one self-contained page without a script."""
    tables = [champions_grid(changes)] if changes else []
    newest_first = list(reversed(history.looks))
    return grids.page(
        history.name,
        eyebrow="Drift over time of",
        family=history.name,
        notes=notes(history),
        grids=[looks_grid(history.name, newest_first), *tables],
        plots=plots(history),
        curves_first=True,
    )


def stamp(when: datetime) -> str:
    """In the reader's own time zone."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def _words(look: Look) -> str:
    effects = [(name, effect) for name, effect in look.effects.items() if name in look.drifted]
    listed = ", ".join(f"{name} ({effect:.2f})" for name, effect in effects[:3])
    if len(effects) > 3:
        return f"{listed} and {len(effects) - 3} more"
    return listed
