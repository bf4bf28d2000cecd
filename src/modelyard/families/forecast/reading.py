"""Files of people as series on a grid of time: rows sorted, gaps found, faults named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData
from modelyard.families.forecast.grid import Grid
from modelyard.families.forecast.naming import Names
from modelyard.kit.clock import through_autumn
from modelyard.kit.tables import Table, is_dated, is_local, is_text, numbers, texts, times

SPARSE = 100
"""A grid of more steps than this many for each row is one of a mistaken date."""
EPOCH = 6e8, 4.2e9
"""Numbers between them are taken for seconds since 1970: from 1989 to 2103."""

MONTH = re.compile(r"(?P<year>\d{4})(?:[-/](?P<month>\d\d)|[- ]?Q(?P<quarter>[1-4]))")
"""A month or quarter of a year."""


@dataclass(frozen=True)
class Rows:
    """The rows of one series in the order of time, as the file has them."""

    name: str
    table: Table
    target: str
    places: np.ndarray
    """Rows of the table, int64 (rows,)."""
    time: np.ndarray
    """Seconds or numbers that count, float64 (rows,), ascending."""
    y: np.ndarray
    """Float64 (rows,); NaN where empty."""
    others: np.ndarray
    """Past and known columns, float64 (rows, columns)."""
    behind: np.ndarray
    """Seconds by which the file's clock is behind `time`, float64 (rows,): an hour more with each
    end of summer time, which the clock shows twice."""


@dataclass(frozen=True)
class OneSeries:
    """A series step by step; NaN where it has no value."""

    name: str
    y: np.ndarray
    time: np.ndarray
    behind: np.ndarray
    """As in `Rows`, (steps,)."""
    others: np.ndarray
    """(steps and those ahead, columns)."""
    ahead: int
    """Last steps that have no value, of rows that give known columns of the future."""


def with_days(table: Table) -> Table:
    """The table, in which months (`2026-03`) and quarters (`2026-Q1`) are their first days: columns
    that hold nothing else."""
    for place, name in enumerate(table.names):
        days = _first_days(table.column(name))
        if days is not None:
            table.arrow = table.arrow.set_column(place, name, days)
    return table


def _first_days(cells: pa.Array) -> pa.Array | None:
    """The first days of a column of months or quarters; None where a cell is something else."""
    if not is_text(cells):
        return None
    there = cells.drop_null()
    # Most columns need no look at their other cells.
    if not len(there) or MONTH.fullmatch(there[0].as_py()) is None:
        return None
    days: list[str | None] = []
    for cell in cells.to_pylist():
        if cell is None:
            days.append(None)
            continue
        match = MONTH.fullmatch(cell)
        if match is None:
            return None
        month = match["month"] or f"{3 * int(match['quarter']) - 2:02}"
        days.append(f"{match['year']}-{month}-01")
    return pa.array(days, pa.string())


def read_rows(table: Table, names: Names, called: str) -> list[Rows]:
    """The series of one file.

    Those without any value are not among them.

    Raises:
        BadData: a cell that is no number or no time; a time that stands twice in a series.
    """
    time = np.arange(table.rows, dtype=np.float64)
    if names.time is not None:
        time = _in_seconds(times(table, names.time))
    groups = _groups(table, names, called)
    local = names.time is not None and is_local(table, names.time)
    columns = [numbers(table, name) for name in names.others]
    if columns:
        others = np.stack(columns, axis=1)
    else:
        others = np.empty((table.rows, 0))
    found = []
    for target in names.targets:
        y = numbers(table, target)
        for group, places in groups.items():
            label = target if names.wide else group
            moments, again = through_autumn(time[places])
            if not local:
                moments = time[places]
            elif again:
                shown = table.shown(names.time or "", int(places[again[0]]))
                table.note(
                    f"{names.time}: the clock goes back at {shown}; what stands twice are two hours"
                )
            behind = moments - time[places]
            order = np.argsort(moments, kind="stable")
            places, moments, behind = places[order], moments[order], behind[order]
            if not np.isfinite(y[places]).any():
                continue
            _check_once(table, names, places, moments, label)
            found.append(
                Rows(label, table, target, places, moments, y[places], others[places], behind)
            )
    return found


def grid_of(rows: list[Rows], names: Names, file: Path) -> Grid:
    """The step in time of all series.

    Raises:
        BadData: no series has two rows, or none a value.
    """
    if not rows:
        raise BadData("no series has a value", file=file)
    apart = np.concatenate([np.diff(series.time) for series in rows])
    if not len(apart):
        raise BadData("every series has a single row", file=file)
    every = np.concatenate([series.time for series in rows])
    dated = names.time is not None
    if dated and not is_dated(rows[0].table, names.time or ""):
        dated = bool((every > EPOCH[0]).all())
    return Grid.of(apart, every, dated)


def on_grid(one: Rows, grid: Grid, names: Names, zero: bool) -> OneSeries:
    """A series step by step.

    Args:
        zero: a step without a value is 0.

    Raises:
        BadData: a time between two steps, or one that is far from all others.
    """
    there = np.flatnonzero(np.isfinite(one.y))
    kept = slice(int(there[0]), None)
    time, places = one.time[kept], one.places[kept]
    steps = grid.places(time)
    _check_steps(one, grid, names, steps, places)
    steps = steps.astype(np.int64)
    last = int(there[-1] - there[0])
    y = np.full(steps[-1] + 1, np.nan)
    y[steps] = one.y[kept]
    others = np.full((len(y), one.others.shape[1]), np.nan)
    others[steps] = one.others[kept]
    # Rows behind the last value give known columns of the future.
    length = int(steps[last]) + 1
    y = y[:length]
    if zero:
        y = np.nan_to_num(y, nan=0.0)
    every = grid.after(float(time[0]), np.arange(length))
    # A step without a row is read by the clock of the row before it.
    before = np.searchsorted(steps, np.arange(length), side="right") - 1
    behind = one.behind[kept][before]
    return OneSeries(one.name, y, every, behind, others, len(others) - length)


def _groups(table: Table, names: Names, called: str) -> dict[str, np.ndarray]:
    """Rows of each series by its name: the cells of its columns, or how the file is called.

    Raises:
        BadData: one of these cells is empty.
    """
    if not names.series:
        return {called: np.arange(table.rows)}
    rows: dict[tuple[str | None, ...], list[int]] = {}
    columns = [texts(table, name) for name in names.series]
    for row, cells in enumerate(zip(*columns, strict=True)):
        rows.setdefault(cells, []).append(row)
    found = {}
    for cells, places in rows.items():
        if None in cells:
            problem = "the cell is empty: which series is the row from?"
            raise table.fault(names.series[cells.index(None)], places[0], problem, "Fill it in")
        name = ", ".join(map(str, cells))
        if name in found:
            # A cell may hold a comma itself.
            name = " | ".join(map(repr, cells))
        found[name] = np.array(places)
    return found


def _in_seconds(time: np.ndarray) -> np.ndarray:
    """Numbers that count since 1970 in a smaller unit, as seconds; others as they are."""
    middle = float(np.median(time))
    for unit in (1e3, 1e6, 1e9):
        if EPOCH[0] * unit <= middle <= EPOCH[1] * unit:
            return time / unit
    return time


def _check_steps(
    one: Rows, grid: Grid, names: Names, steps: np.ndarray, places: np.ndarray
) -> None:
    column = names.time or one.target
    between = np.flatnonzero(steps != np.floor(steps))
    twice = np.flatnonzero(np.diff(steps) == 0) + 1
    wrong = np.concatenate([between, twice])
    if len(wrong):
        row = int(places[wrong[0]])
        seen = one.table.shown(column, row)
        problem = (
            f"the time {seen} of {one.name!r} lies between two steps: rows are {grid.words} apart"
        )
        hint = "Forecasts need equal steps: sum or average the rows of each step first"
        raise one.table.fault(column, row, problem, hint)
    if steps[-1] > SPARSE * len(steps) + 1000:
        row = int(places[int(np.argmax(np.diff(steps))) + 1])
        problem = (
            f"the time {one.table.shown(column, row)} of {one.name!r} comes "
            f"{int(np.diff(steps).max()):,} steps after the one before"
        )
        raise one.table.fault(column, row, problem, "Is it right?")


def _check_once(
    table: Table, names: Names, places: np.ndarray, time: np.ndarray, series: str
) -> None:
    twice = np.flatnonzero(np.diff(time) == 0)
    if not len(twice) or names.time is None:
        return
    row = int(places[twice[0] + 1])
    problem = f"the time {table.shown(names.time, row)} stands twice in the series {series!r}"
    hint = "Keep one row, or add them up"
    if not names.series:
        hint += (
            "; where the file holds several series, name their column: --set features.series=NAME"
        )
    raise table.fault(names.time, row, problem, hint)
