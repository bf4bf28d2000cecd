"""Windows as JSON bodies of a request, and the series of a file as such bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.forecast.grid import texts
from modelyard.families.forecast.layout import one_row_a_step, steps_of
from modelyard.families.forecast.naming import Names, is_numeric, telling_the_time
from modelyard.families.forecast.reading import OneSeries, on_grid, read_rows, with_days
from modelyard.families.forecast.window import Column, Schema, Windows
from modelyard.kit.tables import read_table, share_date_orders, with_time


def body_of(schema: Schema, windows: Windows, number: int, length: int) -> dict[str, Any]:
    """One window, with its last `length` steps of history."""
    begin = schema.context - length
    body: dict[str, Any] = {"values": cells(windows.values[number, begin:])}
    if schema.grid.dated:
        body["times"] = texts(windows.times[number, begin : schema.context])
    past, known = windows.past[number, begin:], windows.known[number, begin:]
    return body | _by_name({"past": (schema.past, past), "known": (schema.known, known)})


def read_bodies(file: Path, schema: Schema) -> list[dict[str, Any]]:
    """A body for each series of a file: its name, and the history before its last value.

    Raises:
        BadData: with file, row and column.
    """
    table = read_table(Path(file))
    if schema.row_names is not None and (steps := steps_of(table)):
        table = one_row_a_step(table, steps, schema.row_names)
    others = [column.name for column in (*schema.past, *schema.known)]
    asked = {schema.time_column, schema.target, *schema.series_columns, *others}
    table = with_time(with_days(table), asked, schema.time_column)
    if schema.time_column:
        share_date_orders([table], "auto", {schema.time_column: schema.dates})
    past = tuple(column.name for column in schema.past)
    known = tuple(column.name for column in schema.known)
    series = tuple(name for name in schema.series_columns if name in table.names)
    targets = [schema.target]
    if schema.wide:
        aside = {schema.time_column, *past, *known}
        others = [name for name in table.names if name not in aside]
        targets = [name for name in others if is_numeric(table, name)]
        if schema.time_column is not None and schema.time_column in table.names:
            says_nothing = telling_the_time(table, schema.time_column, targets)
            targets = [name for name in targets if name not in says_nothing]
    needed = [*targets, *past, *known]
    if schema.time_column is not None:
        needed.append(schema.time_column)
    for name in needed:
        if name not in table.names:
            problem = f"the column is missing; seen: {', '.join(table.names)}"
            raise BadData(problem, file=table.file, column=name)
    names = Names(schema.time_column, series, tuple(targets), past, known, ())
    found = []
    for rows in read_rows(table, names, table.file.stem):
        one = on_grid(rows, schema.grid, names, schema.missing == "zero")
        found.append({"series": one.name, **_latest(schema, one)})
    return found


def _latest(schema: Schema, one: OneSeries) -> dict[str, Any]:
    """The window that ends with the last value."""
    length = len(one.y)
    begin = max(0, length - schema.context)
    # Of known columns the file may give fewer steps ahead than a forecast has, or more.
    others = np.full((length + schema.horizon, one.others.shape[1]), np.nan)
    given = min(len(others), len(one.others))
    others[:given] = one.others[:given]
    body: dict[str, Any] = {"values": cells(one.y[begin:])}
    if schema.grid.dated:
        body["times"] = texts(one.time[begin:] - one.behind[-1])
    width = len(schema.past)
    parts = {
        "past": (schema.past, others[begin:length, :width]),
        "known": (schema.known, others[begin:, width:]),
    }
    return body | _by_name(parts)


def _by_name(parts: dict[str, tuple[list[Column], np.ndarray]]) -> dict[str, Any]:
    """Cells by the name of their column, for those parts that have columns."""
    found: dict[str, Any] = {}
    for part, (columns, values) in parts.items():
        if columns:
            rows = zip(columns, values.T, strict=True)
            found[part] = {column.name: cells(row) for column, row in rows}
    return found


def cells(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON; None where missing."""
    return [float(value) if np.isfinite(value) else None for value in values]
