"""Times that stand in several columns, as one: a date and a clock, or year, month, day and hour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from modelyard.kit.moments import month_of
from modelyard.kit.tables.columns import as_numbers, texts
from modelyard.kit.tables.table import Table
from modelyard.kit.tables.times import is_dated
from modelyard.kit.times import TIME_NAMES

TIME = "time"
"""What a column that year and month make is called."""
_CLOCKS = frozenset({"time", "hour", "hr", "clock", "hour_of_day"})
_CLOCK = re.compile(r"\d{1,2}[:.]\d\d(?:[:.]\d\d)?")
_PARTS = (
    ("year", frozenset({"year"}), 1000, 3000),
    ("month", frozenset({"month"}), 1, 12),
    ("day", frozenset({"day", "day_of_month", "date_of_month", "dayofmonth"}), 1, 31),
    ("hour", frozenset({"hour", "hr"}), 0, 23),
    ("minute", frozenset({"minute"}), 0, 59),
)
"""Names of columns in the order of size, and what their numbers may be."""
_SMALLEST = [1, 1, 1, 0, 0]
"""Of a part that is not there."""


def with_time(
    table: Table, asked: Collection[str | None] = (), time_column: str | None = None
) -> Table:
    """The table with one column of times where they stand in several, which a note names: the column
    of dates with the clock's cells behind its own, or `time` made of year, month and, where there are
    any, day, hour and minute. As it is where a time stands in one column.

    Args:
        asked: columns that settings name: they stay, but for the one of dates.
        time_column: the one of the times, where settings name it.
    """
    dated = [name for name in table.names if is_dated(table, name)]
    if time_column in table.names:
        dated = [name for name in dated if name == time_column]
        if not dated:
            return table
    if dated:
        return _with_clock(table, dated[0], asked)
    if any(_is_time(table, name) for name in table.names):
        return table
    return _from_parts(table, asked)


def _is_time(table: Table, name: str) -> bool:
    """Whether a column is the time by its name: `time`, or `timestamp` with seconds."""
    called = name.strip().casefold()
    if called == TIME:
        return True
    return called in TIME_NAMES and bool(np.isfinite(as_numbers(table.column(name))).all())


def _with_clock(table: Table, date: str, asked: Collection[str | None]) -> Table:
    dates = texts(table, date)
    # A date in each row is a time by itself; next to it the clock may be that of anything.
    if len(set(dates)) == len(dates):
        return table
    for name in table.names:
        if name in (date, *asked) or name.strip().casefold() not in _CLOCKS:
            continue
        clocks = _clocks(table, name)
        if clocks is None or any(day is None or ":" in day for day in dates):
            continue
        found = [f"{day} {clock}" for day, clock in zip(dates, clocks, strict=True)]
        if not _go_on(dates, clocks):
            continue
        return _joined(table, date, found, [date, name])
    return table


def _go_on(dates: Sequence[str | None], clocks: Sequence[str]) -> bool:
    """Whether days have several times; where these are whole hours, mostly equally far apart: else each
    is the hour of something that happened, as of the most sales of a shop."""
    hours: dict[str | None, set[int]] = {}
    whole = True
    for day, clock in zip(dates, clocks, strict=True):
        hour, _, rest = clock.partition(":")
        hours.setdefault(day, set()).add(int(hour))
        whole = whole and not rest.strip("0:")
    if not whole:
        return True
    apart: Counter[int] = Counter()
    for own in hours.values():
        ascending = sorted(own)
        apart.update(then - hour for hour, then in pairwise(ascending))
    return bool(apart) and max(apart.values()) >= apart.total() / 2


def _clocks(table: Table, name: str) -> list[str] | None:
    """The cells of a column as `18:00`; None where one is no time of a day."""
    cells = texts(table, name)
    if all(cell is not None and _CLOCK.fullmatch(cell) for cell in cells):
        return [str(cell).replace(".", ":") for cell in cells]
    hours = _whole(table, name, 0, 23)
    if hours is None:
        return None
    return [f"{hour:02}:00" for hour in hours]


def _from_parts(table: Table, asked: Collection[str | None]) -> Table:
    columns: list[list[int]] = []
    names: list[str] = []
    for part, called, least, most in _PARTS:
        known = [name for name in table.names if name.strip().casefold() in called]
        if not known:
            break
        numbers = _whole(table, known[0], least, most, month_of if part == "month" else None)
        if numbers is None or known[0] in asked:
            return table
        columns.append(numbers)
        names.append(known[0])
    if len(names) < 2:
        return table
    found = []
    for row in zip(*columns, strict=True):
        year, month, day, hour, minute = list(row) + _SMALLEST[len(row) :]
        clock = f" {hour:02}:{minute:02}" if len(row) > 3 else ""
        found.append(f"{year:04}-{month:02}-{day:02}{clock}")
    return _joined(table, TIME, found, names)


def _whole(
    table: Table, name: str, least: int, most: int, read: Callable[[str], int | None] | None = None
) -> list[int] | None:
    """The cells of a column as whole numbers within bounds; None where one is none.

    Args:
        read: what a cell that is no number says.
    """
    values = as_numbers(table.column(name))
    if read is not None and not np.isfinite(values).any():
        named = [read(cell) if cell else None for cell in texts(table, name)]
        values = np.array(named, np.float64)
    if not np.isfinite(values).all() or (values % 1 != 0).any():
        return None
    if values.min() < least or values.max() > most:
        return None
    found: list[int] = values.astype(np.int64).tolist()
    return found


def _joined(table: Table, name: str, cells: Sequence[str], parts: list[str]) -> Table:
    # Where the first of them stood, among what is left.
    before = table.names[: table.names.index(parts[0])]
    place = sum(other not in parts for other in before)
    arrow = table.arrow.drop_columns(parts)
    arrow = arrow.add_column(place, name, pa.array(cells, pa.string()))
    joined = replace(table, arrow=arrow, notes=list(table.notes), looks={})
    joined.note(f"{name}: the time stands in {' and '.join([', '.join(parts[:-1]), parts[-1]])}")
    return joined
