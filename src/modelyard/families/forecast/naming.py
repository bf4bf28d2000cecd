"""Which columns are the time, the series, the target and the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from modelyard.errors import BadData, UsageError, choices, in_shell
from modelyard.families.forecast.config import ForecastFeatures
from modelyard.kit.tables import (
    Table,
    are_placeholders,
    as_numbers,
    find_entity,
    is_dated,
    may_name,
    notation,
    plainly,
    texts,
)
from modelyard.kit.tables.notation import MOSTLY
from modelyard.kit.times import TIME_NAMES

TIMES = frozenset({*TIME_NAMES, "ds", "day", "week", "month", "quarter", "year", "period", "hour"})
"""Names of a time column that are understood, in any case."""
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
    "total",
)
"""Names of a target that are understood, in any case; the first one that is there."""
SERIES = re.compile(
    r"(unique|series|store|shop|branch|item|product|article|sku|customer|region|country|city|station|site"
    r"|meter|sensor|symbol|ticker|location|zone|department|category|route)"
    r"([ _-]?(id|nr|no|name|number|key|code))?|id",
    re.IGNORECASE,
)
"""What a column that names series is usually called."""


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
    """No numbers, and nothing else."""

    @property
    def wide(self) -> bool:
        """Whether each column is a series."""
        return len(self.targets) > 1

    @property
    def others(self) -> tuple[str, ...]:
        """Columns of numbers besides the target."""
        return self.past + self.known


def find_names(tables: list[Table], settings: ForecastFeatures) -> Names:
    """The columns of the first table by their parts, as the settings or their names say.

    Raises:
        UsageError: a setting names a column that is not there.
        BadData: nothing can be forecast, or it is not clear what.
    """
    first = tables[0]
    for setting in ("target", "time_column", "series", "known", "drop"):
        given = getattr(settings, setting) or ()
        for column in (given,) if isinstance(given, str) else given:
            if column not in first.names:
                problem = choices("column", column, first.names)
                raise UsageError(f"setting 'features.{setting}': {problem}")
    left = [name for name in first.names if name not in settings.drop]
    time = settings.time_column or _time(first, left)
    series = settings.series
    if not series and time is not None:
        aside = {*settings.known, *settings.drop, settings.target}
        series = _series(tables, time, {name for name in aside if name is not None})
    left = [name for name in left if name not in (time, *series)]
    numeric = [name for name in left if is_numeric(first, name)]
    free = [name for name in numeric if name not in settings.known]
    others = [name for name in left if name not in settings.known]
    targets = _targets(first, settings, free, others, series)
    wide = len(targets) > 1
    past = () if wide else tuple(name for name in free if name not in targets)
    left_out = tuple(name for name in left if name not in numeric and name not in targets)
    return Names(time, series, targets, past, settings.known, left_out)


def _time(table: Table, names: list[str]) -> str | None:
    called = [name for name in names if name.strip().casefold() in TIMES]
    dated = [name for name in names if is_dated(table, name)]
    found = [name for name in called if name in dated] or dated or called
    return found[0] if found else None


def _series(tables: list[Table], time: str, aside: set[str]) -> tuple[str, ...]:
    """The column that names series; where a time stands twice in one of them, all that are named as
    such columns are, if it does not stand twice in theirs."""
    first = tables[0]
    found = find_entity(tables, time, SERIES, aside)
    named = [
        name
        for name in first.names
        if SERIES.fullmatch(name.strip()) and name not in aside and may_name(first, name)
    ]
    single = () if found is None else (found,)
    if len(named) > 1 and not _once(first, (time, *single)) and _once(first, (time, *named)):
        return tuple(named)
    return single


def _once(table: Table, names: tuple[str, ...]) -> bool:
    """Whether no two rows have the same cells in these columns."""
    rows = zip(*(texts(table, name) for name in names), strict=True)
    return len(set(rows)) == table.rows


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


def is_numeric(table: Table, name: str) -> bool:
    """Whether a column holds numbers: nearly all, so that the few other cells are errors to fix."""
    cells = plainly(table.column(name), notation(table, name)).cells
    values = as_numbers(cells)
    empty = cells.is_null().to_numpy(zero_copy_only=False) | are_placeholders(cells)
    there = int((~empty).sum())
    return bool(there and np.isfinite(values[~empty]).sum() >= MOSTLY * there)
