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
        rows.append([*row, _error(look.quality)] if labelled else row)
    return Grid("Looks", columns, rows)


def champions_grid(changes: Sequence[Change]) -> Grid:
    """A row a change of the champion."""
    rows = [
        [stamp(one.when), f"{one.before or '-'} → {one.after}", one.by, one.why] for one in changes
    ]
    return Grid("Champions", ["when", "version", "by", "why"], rows)


def plots(history: History) -> list[Plot]:
    """Effects of the columns that drifted, and rows, over time."""
    looks = history.looks
    if len(looks) < 2:
        return []
    newest = looks[-1].at
    days = [(look.at - newest).total_seconds() / _DAY for look in looks]
    retrained = [day for day, look in zip(days, looks, strict=True) if look.retrains]
    shown = history.columns[:MOST_COLUMNS]
    effects = [
        Series(name=name, x=days, y=[look.effects.get(name, 0.0) for look in looks])
        for name in shown
    ]
    days_ago = ", ".join(f"{abs(day):.1f}" for day in retrained)
    if days_ago:
        caption = f"Retrainings were requested {days_ago} days before the newest look."
    else:
        caption = ""
    if left := len(history.columns) - len(shown):
        caption = f"{left} more columns drifted less often. {caption}".strip()
    days_label = "days before the newest look"
    found = [
        Plot(
            kind="line",
            title="rows compared",
            x_label=days_label,
            y_label="rows",
            series=[Series(name="rows", x=days, y=[float(look.rows) for look in looks])],
        )
    ]
    if any(look.quality is not None for look in looks):
        found.insert(0, _errors(looks, days, days_label))
    if effects:
        drifted = Plot(
            kind="line",
            title="effect in the columns that ever drifted",
            x_label=days_label,
            y_label="effect",
            series=effects,
            caption=caption,
        )
        found.insert(0, drifted)
    return found


def _errors(looks: Sequence[Look], days: Sequence[float], label: str) -> Plot:
    """The mean error of labelled answers with its interval, over time."""
    seen = [
        (day, look.quality)
        for day, look in zip(days, looks, strict=True)
        if look.quality is not None
    ]
    x = [day for day, _ in seen]
    band = Series(
        name="95 %",
        x=x,
        y=[quality.low for _, quality in seen],
        high=[quality.high for _, quality in seen],
    )
    mean = Series(name="labelled answers", x=x, y=[quality.value for _, quality in seen])
    known = [(day, quality.reference) for day, quality in seen if quality.reference is not None]
    before = Series(name="test data", x=[day for day, _ in known], y=[one for _, one in known])
    measure = seen[-1][1].measure
    return Plot(
        kind="line",
        title=f"{measure} where labels came",
        x_label=label,
        y_label=measure,
        series=[band, mean, before] if known else [band, mean],
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
