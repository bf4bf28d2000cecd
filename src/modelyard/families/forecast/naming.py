"""Which columns are the time, the series, the target and the others."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from modelyard.errors import BadData, UsageError, choices, in_shell
from modelyard.families.forecast.config import ForecastFeatures
from modelyard.families.forecast.grid import dates, weekday
from modelyard.kit.tables import (
    Table,
    are_placeholders,
    as_numbers,
    find_entity,
    is_dated,
    is_text,
    may_name,
    notation,
    plainly,
    times,
)
from modelyard.kit.tables.notation import MOSTLY
from modelyard.kit.times import TIME_NAMES

TIMES = frozenset(
    {
        *TIME_NAMES,
        *("ds", "day", "week", "month", "quarter", "year", "period", "hour"),
        *("yearmon", "year_month", "yearmonth", "year_week", "timepoint", "time_step", "timestep"),
    }
)
"""Names of a time column that are understood, in any case."""
COUNTED = "step"
"""Name of one with whole numbers; others are measurements."""
TARGETS = (
    "target",
    "y",
    "value",
    "values",
    "sales",
    "demand",
    "quantity",
    "qty",
    "units",
    "revenue",
    "amount",
    "load",
    "consumption",
    "close",
    "count",
    "cnt",
    "total",
)
"""Names of a target that are understood, in any case; the first one that is there."""
SERIES = re.compile(
    r"(unique|series|store|shop|branch|item|product|article|sku|customer|region|country|city|station|site"
    r"|meter|sensor|symbol|ticker|location|zone|department|category|route)"
    r"([ _-]?(id|nr|nbr|no|num|name|number|key|code))?|id",
    re.IGNORECASE,
)
"""What a column that names series is usually called."""
MOST_NAMING = 6
"""Columns of which some may name the series together: 63 choices."""


@dataclass(frozen=True)
class Names:
    """The columns of a file by their parts."""

    time: str | None
    series: tuple[str, ...]
    """Columns that together name the series of a row."""
    targets: tuple[str, ...]
    """One; or several, each a series of its own."""
    past: tuple[str, ...]
    known: tuple[str, ...]
    left_out: tuple[str, ...]
    """No numbers and nothing else, or numbers of rows."""

    @property
    def wide(self) -> bool:
        """Whether each column is a series."""
        return len(self.targets) > 1

    @property
    def others(self) -> tuple[str, ...]:
        """Columns of numbers besides the target."""
        return self.past + self.known


def find_names(
    tables: list[Table], settings: ForecastFeatures, before: Collection[str] = ()
) -> Names:
    """The columns of the first table by their parts, as the settings or their names say.

    Args:
        before: columns that an earlier model has learned from: they stay.

    Raises:
        UsageError: a setting names a column that is not there.
        BadData: nothing can be forecast, or it is not clear what.
    """
    first = tables[0]
    _check_settings(tables, settings)
    left = [name for name in first.names if name not in settings.drop]
    time = settings.time_column or _time(first, left)
    series = settings.series
    if not series and time is not None:
        aside = {*settings.known, *settings.drop}
        if settings.target is not None:
            aside.add(settings.target)
        series = _series(tables, time, aside)
    left = [name for name in left if name not in (time, *series)]
    numeric = [name for name in left if is_numeric(first, name)]
    if time is not None and len(numeric) > 1:
        asked = (*settings.known, *before, settings.target)
        says_nothing = telling_the_time(first, time, [n for n in numeric if n not in asked])
        numeric = [name for name in numeric if name not in says_nothing]
    free = [name for name in numeric if name not in settings.known]
    others = [name for name in left if name not in settings.known]
    targets = _targets(first, settings, free, others, series)
    past: list[str] = []
    if len(targets) == 1:
        past = [name for name in free if name not in targets]
    used = {*numeric, *targets}
    left_out = [name for name in left if name not in used]
    return Names(time, series, targets, tuple(past), settings.known, tuple(left_out))


def _check_settings(tables: list[Table], settings: ForecastFeatures) -> None:
    """Refuses settings that name a column which the first table lacks, or to drop one that all lack."""
    table = tables[0]
    any_has = dict.fromkeys(name for table in tables for name in table.names)
    named = {
        "target": [settings.target],
        "time_column": [settings.time_column],
        "series": settings.series,
        "known": settings.known,
        "drop": settings.drop,
    }
    for setting, columns in named.items():
        allowed = list(any_has) if setting == "drop" else table.names
        for column in columns:
            if column is not None and column not in allowed:
                problem = choices("column", column, allowed)
                raise UsageError(f"setting 'features.{setting}': {problem}")


def _time(table: Table, names: list[str]) -> str | None:
    called = []
    for name in names:
        usual = name.strip().casefold()
        if usual in TIMES or (usual == COUNTED and _is_whole(table, name)):
            called.append(name)
    dated = [name for name in names if is_dated(table, name)]
    both = [name for name in called if name in dated]
    for found in (both, dated, called):
        if found:
            return found[0]
    return None


def _is_whole(table: Table, name: str) -> bool:
    # Of what is no number the remainder is none either, and differs from 0.
    return bool((as_numbers(table.column(name)) % 1 == 0).all())


def _series(tables: list[Table], time: str, aside: set[str]) -> tuple[str, ...]:
    """The column that names series; where a time stands twice in one of them, all that are named as
    such columns are, else the fewest columns of names and words in which it stands once."""
    first = tables[0]
    found = find_entity(tables, time, SERIES, aside)
    named = []
    for name in first.names:
        if name not in aside and SERIES.fullmatch(name.strip()) and may_name(first, name):
            named.append(name)
    single: tuple[str, ...] = ()
    if found is not None:
        single = (found,)
    if _once(first, (time, *single)):
        return single
    if len(named) > 1 and _once(first, (time, *named)):
        return tuple(named)
    worded = []
    for name in first.names:
        is_free = name not in (time, *named, *aside) and may_name(first, name)
        # Last, since it reads all cells.
        if is_free and is_text(first.column(name)) and not is_numeric(first, name):
            worded.append(name)
    # The fewest columns that do it: a city that follows from its store adds nothing.
    possible = list(dict.fromkeys([*named, *single, *worded]))[:MOST_NAMING]
    for count in range(1, len(possible) + 1):
        for some in combinations(possible, count):
            if _once(first, (time, *some)):
                return some
    return single


def _once(table: Table, names: tuple[str, ...]) -> bool:
    """Whether no two rows have the same cells in these columns."""
    rows = table.arrow.group_by(list(names)).aggregate([])
    return bool(rows.num_rows == table.rows)


def _targets(
    table: Table,
    settings: ForecastFeatures,
    free: list[str],
    others: list[str],
    series: tuple[str, ...],
) -> tuple[str, ...]:
    """`free` are columns of numbers; `others` those and columns with a cell that is none: of one that
    is named as a target, that cell is what to say."""
    if settings.target is not None:
        return (settings.target,)
    for names in (free, others):
        by_name = {name.strip().casefold(): name for name in names}
        for usual in TARGETS:
            if usual in by_name:
                return (by_name[usual],)
    if not free:
        problem = f"no column of numbers to forecast; seen: {', '.join(table.names)}"
        raise BadData(problem, file=table.file)
    if len(free) > 1 and series:
        problem = f"which column is to be forecast? Columns of numbers: {', '.join(free)}"
        raise BadData(problem, file=table.file, hint=f"Type: --target {in_shell(free[0])}")
    return tuple(free)


def telling_the_time(table: Table, time: str, names: list[str]) -> list[str]:
    """Those of the columns that say nothing which the time does not: numbers of the rows, and the year,
    quarter, month, day, weekday or hour of a date."""
    parts: list[np.ndarray] = []
    if is_dated(table, time):
        parts = _calendar(times(table, time))
    found = []
    for name in names:
        values = as_numbers(plainly(table.column(name), notation(table, name)).cells)
        counts = len(values) > 1 and bool((np.diff(values) == 1).all())
        if counts or any(_is_part(values, part) for part in parts):
            found.append(name)
    return found


def _calendar(seconds: np.ndarray) -> list[np.ndarray]:
    """The year of times; and their quarter, month, day of the month, hour and weekday, those that vary."""
    moments = dates(seconds)
    years, months, days = (moments.astype(f"datetime64[{unit}]") for unit in "YMD")
    month = months.astype(np.int64) % 12
    parts = [
        month // 3,
        month,
        (days - months.astype("datetime64[D]")).astype(np.int64),
        (moments - days.astype("datetime64[s]")).astype(np.int64) // 3600,
        weekday(seconds),
    ]
    year = years.astype(np.int64) + 1970
    return [year, *(part for part in parts if len(np.unique(part)) > 1)]


def _is_part(values: np.ndarray, part: np.ndarray) -> bool:
    """Whether numbers are a part of the calendar, counted from whatever number on. A week may begin on any
    day."""
    apart = values - part
    different = len(np.unique(part))
    if different == 7 and values.max() - values.min() == 6:
        apart = apart % 7
    # Of one year the number itself: any constant is apart from it by a constant.
    begins = 0 if different == 1 else apart[0]
    return bool((apart == begins).all())


def is_numeric(table: Table, name: str) -> bool:
    """Whether a column holds numbers: nearly all, so that the few other cells are errors to fix."""
    cells = plainly(table.column(name), notation(table, name)).cells
    values = as_numbers(cells)
    empty = cells.is_null().to_numpy(zero_copy_only=False) | are_placeholders(cells)
    there = int((~empty).sum())
    return bool(there and np.isfinite(values[~empty]).sum() >= MOSTLY * there)
