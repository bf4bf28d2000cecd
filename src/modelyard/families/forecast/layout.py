"""Tables with a series in each row and a step in each column, as one row a step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from modelyard.errors import BadData, UsageError, choices
from modelyard.families.forecast.config import ForecastFeatures
from modelyard.families.forecast.naming import TIMES, is_numeric
from modelyard.families.forecast.reading import MONTH
from modelyard.kit.tables import Table, TableFile, is_dated, is_text, numbers, texts

SERIES, TIME, VALUE = "series", "time", "value"
"""Columns of the table that `one_row_a_step` gives."""
LEAST = 12
"""Columns that must look like steps."""
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d{1,9})")


def by_step(
    table: Table, settings: ForecastFeatures
) -> tuple[Table, tuple[str, ...] | None, ForecastFeatures]:
    """A table with one row a step; the columns that named the rows where each was a series, else
    None; and the settings as they hold for it.

    Raises:
        BadData: a cell that is no number, or rows that no column tells apart.
    """
    # Who names a time or a target has a row a step.
    steps = steps_of(table) if settings.time_column is None and settings.target is None else []
    if not steps:
        return table, None, settings
    away = [name for name in settings.drop if name in table.names]
    table = replace(table, arrow=table.arrow.drop_columns(away))
    steps = [name for name in steps if name not in away]
    named = settings.series or naming(table, steps)
    for name in named:
        if name not in table.names:
            problem = choices("column", name, table.names)
            raise UsageError(f"setting 'features.series': {problem}")
    check_named(table, steps, named)
    unknown = tuple(name for name in settings.drop if name not in away)
    found = settings.model_copy(update={"series": (SERIES,), "drop": unknown})
    return one_row_a_step(table, steps, named), named, found


def steps_of(table: Table) -> list[str]:
    """The columns that are steps: named by dates (`2026-03-01`), or numbered one by one (`d_1`, `d_2`,
    …). Empty where each row is a step, as in all tables with a column of dates or one that is called as
    times are, and where every column is a series."""
    if any(_holds_times(table, name) for name in table.names):
        return []
    dated = [name for name in table.names if _is_date(name, table)]
    if len(dated) >= LEAST:
        return dated
    if any(name.strip().casefold() in TIMES for name in table.names):
        return []
    numbered = _numbered(table)
    if len(numbered) < LEAST:
        return []
    # By words: numbers of rows next to the columns s1, s2, … name no series.
    named = naming(table, numbered)
    if not named or is_numeric(table, named[0]):
        return []
    return numbered


def naming(table: Table, steps: Sequence[str]) -> tuple[str, ...]:
    """The column that names the rows: the first of text without equal cells, else of numbers."""
    others = [name for name in table.names if name not in steps]
    unequal = [name for name in others if len(set(texts(table, name)) - {None}) == table.rows]
    found = [name for name in unequal if not is_numeric(table, name)] or unequal
    return tuple(found[:1])


def one_row_a_step(table: Table, steps: Sequence[str], named: Sequence[str]) -> Table:
    """A table with the columns SERIES, TIME and VALUE. Empty cells before a row's first value and
    behind its last one are no steps.

    Args:
        named: columns that name the rows.

    Raises:
        BadData: a cell that is no number.
    """
    values = np.stack([numbers(table, name) for name in steps], axis=1)
    there = np.isfinite(values)
    begun = np.maximum.accumulate(there, axis=1)
    going_on = np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    rows, places = np.nonzero(begun & going_on)
    columns = {
        SERIES: pa.array(_labels(table, named)).take(pa.array(rows)),
        TIME: pa.array(_times(table, steps)).take(pa.array(places)),
        VALUE: pa.array(values[rows, places], from_pandas=True),
    }
    left = [name for name in table.names if name not in (*steps, *named)]
    by = f" named by {', '.join(named)}" if named else ""
    note = f"each row is a series{by}, each column from {steps[0]} to {steps[-1]} a step"
    notes = [*table.notes, note + (f"; left out: {', '.join(left)}" if left else "")]
    return Table(
        pa.table(columns), _files(table, rows), notes, table.dropped, table.delimiter, table.decimal
    )


def _labels(table: Table, named: Sequence[str]) -> list[str]:
    """Of each row."""
    if not named:
        return [table.file.stem] * table.rows
    cells = zip(*(texts(table, name) for name in named), strict=True)
    labels = []
    for row, parts in enumerate(cells):
        if None in parts:
            column = named[parts.index(None)]
            raise table.fault(column, row, "the cell is empty: which series is it?", "Fill it in")
        labels.append(", ".join(str(part) for part in parts))
    return labels


def _times(table: Table, steps: Sequence[str]) -> list[str] | list[int]:
    """The dates that name the steps, or their numbers."""
    if _is_date(steps[0], table):
        return list(steps)
    found = [_NUMBERED.fullmatch(name.strip()) for name in steps]
    return [int(match["number"]) for match in found if match is not None]


def _files(table: Table, rows: np.ndarray) -> list[TableFile]:
    """Which row of which file each step comes from; `rows` ascend."""
    files, first = [], 0
    for file in table.files:
        mine = rows[(rows >= first) & (rows < first + file.rows)] - first
        files.append(TableFile(file.path, len(mine), file.row_numbers()[mine].tolist()))
        first += file.rows
    return files


def _is_date(name: str, table: Table) -> bool:
    if MONTH.fullmatch(name.strip()):
        return True
    return is_dated(Table(pa.table({TIME: [name.strip()]}), table.files), TIME)


def _holds_times(table: Table, name: str) -> bool:
    """Whether a column's first cell is a date or time, or a month or quarter, which is read as its
    first day."""
    if is_dated(table, name):
        return True
    there = table.column(name).drop_null()
    if not is_text(there) or len(there) == 0:
        return False
    return MONTH.fullmatch(there[0].as_py()) is not None


def _numbered(table: Table) -> list[str]:
    """Columns of numbers, or without any cell, that are called alike and counted one by one; the
    largest such group. A number by itself is a name too."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in table.names:
        match = _NUMBERED.fullmatch(name.strip())
        if match is None:
            continue
        empty = table.column(name).null_count == table.rows
        if empty or is_numeric(table, name):
            groups.setdefault(match["stem"], []).append((int(match["number"]), name))
    largest = max(groups.values(), key=len, default=[])
    counted = all(after == before + 1 for (before, _), (after, _) in pairwise(largest))
    return [name for _, name in largest] if counted else []


def check_named(table: Table, steps: Sequence[str], named: Sequence[str]) -> None:
    """Refuses rows that nothing tells apart.

    Raises:
        BadData: no column names them.
    """
    if not named and table.rows > 1:
        others = [name for name in table.names if name not in steps]
        problem = "each row is a series, and no column names them"
        if others:
            problem += f": equal cells in {', '.join(others)}"
        raise BadData(problem, file=table.file, hint="Type: --set features.series=[NAME,NAME]")
