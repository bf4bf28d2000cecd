"""Which columns are the time, the series, the target and the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.forecast.config import ForecastFeatures
from modelyard.kit.tables import (
    Table,
    are_placeholders,
    as_numbers,
    find_entity,
    is_dated,
    notation,
    plainly,
)
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
    series: str | None
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
    asked = {"target": settings.target, "time_column": settings.time_column}
    asked["series"] = settings.series
    for name, column in asked.items():
        if column is not None and column not in first.names:
            raise UsageError(f"setting 'features.{name}': {choices('column', column, first.names)}")
    for setting in ("known", "drop"):
        for column in getattr(settings, setting):
            if column not in first.names:
                problem = choices("column", column, first.names)
                raise UsageError(f"setting 'features.{setting}': {problem}")
    left = [name for name in first.names if name not in settings.drop]
    time = settings.time_column or _time(first, left)
    aside = {*settings.known, *settings.drop, settings.target}
    series = settings.series
    if series is None and time is not None:
        series = find_entity(tables, time, SERIES, {name for name in aside if name is not None})
    left = [name for name in left if name not in (time, series)]
    numeric = [name for name in left if is_numeric(first, name)]
    free = [name for name in numeric if name not in settings.known]
    targets = _targets(first, settings, free, series)
    wide = len(targets) > 1
    past = () if wide else tuple(name for name in free if name not in targets)
    left_out = tuple(name for name in left if name not in numeric and name not in targets)
    return Names(time, series, targets, past, settings.known, left_out)


def _time(table: Table, names: list[str]) -> str | None:
    called = [name for name in names if name.strip().casefold() in TIMES]
    dated = [name for name in names if is_dated(table, name)]
    found = [name for name in called if name in dated] or dated or called
    return found[0] if found else None


def _targets(
    table: Table, settings: ForecastFeatures, free: list[str], series: str | None
) -> tuple[str, ...]:
    if settings.target is not None:
        return (settings.target,)
    by_name = {name.strip().casefold(): name for name in free}
    for usual in TARGETS:
        if usual in by_name:
            return (by_name[usual],)
    if not free:
        problem = f"no column of numbers to forecast; seen: {', '.join(table.names)}"
        raise BadData(problem, file=table.file)
    if len(free) > 1 and series is not None:
        problem = f"which column is to be forecast? Columns of numbers: {', '.join(free)}"
        raise BadData(problem, file=table.file, hint=f"Type: --target {free[0]}")
    return tuple(free)


def is_numeric(table: Table, name: str) -> bool:
    """Whether a column holds numbers, and nothing else but empty cells."""
    cells = plainly(table.column(name), notation(table, name)).cells
    values = as_numbers(cells)
    empty = cells.is_null().to_numpy(zero_copy_only=False) | are_placeholders(cells)
    return bool(np.isfinite(values).any() and (np.isfinite(values) | empty).all())
